"""Nothing that Contextune did not write is overwritten or removed."""

from __future__ import annotations

import os

import pytest

from contextune.core import ownership
from contextune.core.errors import UserError


def test_a_folder_is_claimed_while_it_is_new_or_empty(tmp_path):
    for name in ("new/inner", "empty", "inert"):
        (tmp_path / name).mkdir(parents=True) if name != "new/inner" else None
        if name == "inert":
            (tmp_path / name / ".gitkeep").touch()
        ownership.claim(tmp_path / name, "run")
        (tmp_path / name / "anything").write_text("")
        ownership.claim(tmp_path / name, "run")
        assert ownership.claimed(tmp_path / name, "run")
        assert ownership.claimed(tmp_path / name)
        assert not ownership.claimed(tmp_path / name, "study")


@pytest.mark.parametrize("name", ["recipe.yaml", "arms/notes.txt", ".hidden", "outcomes/x.parquet", "link"])
def test_a_folder_that_holds_anything_else_is_refused(tmp_path, name):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    os.symlink("nowhere", mine) if name == "link" else mine.write_text("mine")
    for folder in (tmp_path / "mine", tmp_path / "mine" / ".." / "mine"):
        with pytest.raises(UserError, match=f"no run of Contextune wrote .{name.split('/')[0]}.") as e:
            ownership.claim(folder, "run")
        assert e.value.hint == "give another output=FOLDER, new or empty"
    os.symlink(tmp_path / "mine", tmp_path / "linked")
    with pytest.raises(UserError, match="no run of Contextune wrote"):
        ownership.claim(tmp_path / "linked", "run")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == [name.split("/")[0]]


def test_a_folder_has_one_purpose(tmp_path):
    ownership.claim(tmp_path / "a", "run")
    with pytest.raises(UserError, match=r"another purpose \(run\)"):
        ownership.claim(tmp_path / "a", "evaluation", "--out", "give another --out")


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\0b", "not the name of a file"), ("x" * 300, "File name too long"), ("file", "in the way"),
     ("file/below", "in the way"), ("dangling", "in the way"), ("\ud800", "not the name of a file")],
)  # fmt: skip
def test_what_can_be_no_folder(tmp_path, name, said):
    (tmp_path / "file").write_text("mine")
    os.symlink("nowhere", tmp_path / "dangling")
    with pytest.raises(UserError, match=said) as e:
        ownership.claim(tmp_path / name, "run")
    assert len(e.value.message) < 400
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_looking_leaves_no_mark(tmp_path):
    ownership.claim(tmp_path, "run", keep=False)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def made(tmp_path):
    return ownership.write(tmp_path / "made.jsonl", "one\n")


def test_a_file_of_ours_is_written_over(made):
    assert ownership.write(made, "two\n").read_text() == "two\n"
    assert ownership.write(made, "one\n").read_text() == "one\n"
    assert {p.name for p in made.parent.iterdir()} == {"made.jsonl", ownership.WRITTEN}


def test_a_kill_before_the_file_is_moved_leaves_it_ours(made, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ownership.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        ownership.write(made, "two\n")
    monkeypatch.undo()
    assert made.read_text() == "one\n"
    assert ownership.write(made, "three\n").read_text() == "three\n"


@pytest.mark.parametrize("how", ["never written", "edited", "another name", "a link to it", "a pipe", "list lost"])
def test_a_file_that_is_not_as_we_wrote_it_is_left(made, how):
    target = made
    if how == "edited":
        made.write_text("one, and mine\n")
    elif how == "list lost":
        (made.parent / ownership.WRITTEN).unlink()
    elif how == "a pipe":
        target = made.with_name("pipe")
        os.mkfifo(target)
    elif how == "a link to it":
        target = made.with_name("link")
        target.symlink_to(made)
    else:
        target = made.with_name("mine.jsonl")
        target.write_text("one\n" if how == "another name" else "mine")
    before = made.read_bytes()
    with pytest.raises(UserError, match="not as Contextune wrote it"):
        ownership.write(target, "two\n")
    ownership.remove(target)
    assert os.path.lexists(target)
    assert made.read_bytes() == before


def test_an_output_is_no_input(made):
    twin = made.with_name("twin")
    os.link(made, twin)
    for input in (made, twin, made.parent / "x" / ".." / made.name):
        (made.parent / "x").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="it is an input as well"):
            ownership.may_write(made, inputs=[input])


def test_only_a_file_of_ours_is_removed(made):
    ownership.remove(made)
    assert not made.exists()
    ownership.remove(made)


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\0b", "not the name of a file"), ("x" * 300, "File name too long"), ("made.jsonl/x", "in the way"),
     (".", "Is a directory"), ("/proc/version/x", "in the way")],
)  # fmt: skip
def test_what_can_be_no_file(made, name, said):
    with pytest.raises(UserError, match=said):
        ownership.may_write(made.parent / name)


def test_pages_replace_pages_alone(tmp_path):
    page = "<title>x · Contextune</title>"
    ownership.save_page(tmp_path / "a.html", page)
    ownership.save_page(tmp_path / "a.html", page + "other")
    for left in (b"", b"\0" * 9000):  # by a full disk, by a power cut
        (tmp_path / "a.html").write_bytes(left)
        ownership.save_page(tmp_path / "a.html", page + "more")
        assert (tmp_path / "a.html").read_text() == page + "more"
    (tmp_path / "mine.html").write_text("<title>Thesis</title>")
    os.symlink(tmp_path / "mine.html", tmp_path / "link.html")
    for name in ("mine.html", "link.html"):
        with pytest.raises(UserError, match="Contextune did not write it"):
            ownership.save_page(tmp_path / name, page)
    assert (tmp_path / "mine.html").read_text() == "<title>Thesis</title>"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", ".x", "-x", "a\0", "a\n", "é", "x" * 121])
def test_names_that_lead_elsewhere(name):
    with pytest.raises(UserError, match="part of a file's name"):
        ownership.name_part(name, "task")


def test_names_that_stay():
    assert [ownership.name_part(n, "task") for n in ("a", "cpt.seed-5.x", "9+_-.")] == ["a", "cpt.seed-5.x", "9+_-."]
