"""Data from outside has bounds: folders, globs, compressed files, depth, names, halves of surrogate pairs."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import time

import pytest

from contextune import data
from contextune.core.errors import UserError
from contextune.core.options import parse_options
from contextune.data import paths, raw
from contextune.data.options import Source


def refused(folder, **source) -> UserError:
    began = time.process_time()
    with pytest.raises(UserError) as e:
        data.load(Source(**source), folder)
    assert time.process_time() - began < 3
    assert e.value.hint
    return e.value


@pytest.mark.parametrize("path", ["d", "d/**", "d/*/*.txt", "**/*.jsonl", "*/*/*", "d/**/**/x*.txt"])
def test_folders_and_globs_end(path, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MOST", 100)
    for i in range(12):
        (tmp_path / f"d/{i}").mkdir(parents=True)
        for j in range(12):
            (tmp_path / f"d/{i}/x{j}.txt").write_text(f"{i} {j}")
    assert "leads through more than 100 files and folders" in refused(tmp_path, path=path).message


def test_system_folders_end(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MOST", 2000)
    for path in ("/", "/**/*.txt", "/proc/**/*.jsonl", "/*/*/*/*/*.json"):
        with pytest.raises(UserError):
            data.load(Source(path=path), tmp_path)


def test_links_in_a_ring_are_not_followed_by_globs(tmp_path, write):
    write("one", "d/a.txt")
    for i in range(3):
        (tmp_path / f"d/ring{i}").symlink_to("../d")
    (tmp_path / "d/other").symlink_to("..")
    found = data.load(Source(path="d/**/*.txt"), tmp_path)
    assert [d.text for d in found.documents] == ["one"]


def test_globs_match_as_those_of_python(tmp_path, write):
    import glob

    for name in ("a.txt", "b/a.txt", "b/c/a.txt", "b/c/d.txt", "b/.h/a.txt", ".a.txt", "b/[x].txt", "b/c/e/f.txt"):
        write(name, name)
    patterns = "*.txt **/*.txt b/** b/*/*.txt */c/[ad].txt **/c/**/*.txt b/.*/* **/.* b/[[]x].txt ?.txt **/**/a.txt"
    for pattern in (*patterns.split(), str(tmp_path / "b/*.txt")):
        expected = sorted(
            p for p in set(glob.glob(pattern, root_dir=tmp_path, recursive=True)) if (tmp_path / p).is_file()
        )
        assert [f.shown for f in paths.find(Source(path=pattern), tmp_path).files] == expected, pattern


def test_deep_folders(tmp_path, write):
    write("near", "d/a.txt")
    at = tmp_path / "d"
    for _ in range(200):
        at = at / "x"
        at.mkdir()
    (at / "far.txt").write_text("far")
    found = data.load(Source(path="d"), tmp_path)
    assert [d.text for d in found.documents] == ["near"]
    assert "deeper than 64 folders" in found.passed_over[0]


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "\udcff.txt", "x/" * 3000, "a" * 300 + "*"])
def test_paths_that_cannot_be(path, tmp_path):
    with pytest.raises(UserError, match=r"(data\.x\.)?path: ") as e:
        data.load(parse_options(lambda: Source(path=path), "data.x"), tmp_path)
    assert e.value.hint


def test_names_that_are_no_text_are_named(tmp_path, write):
    write("one", "d/a.txt")
    with open(os.fsencode(tmp_path) + b"/d/\xff.txt", "w") as handle:
        handle.write("two")
    assert data.load(Source(path="d"), tmp_path).passed_over == (r"d/\udcff.txt (its name is not UTF-8)",)
    assert data.load(Source(path="d/*.txt"), tmp_path).passed_over == (r"d/\udcff.txt (its name is not UTF-8)",)


@pytest.mark.parametrize("pack", [gzip, bz2, lzma])
@pytest.mark.parametrize(("name", "content"), [("a.jsonl", b"\n"), ("a.json", b" "), ("a.txt", b"a"), ("a.csv", b"\n")])
def test_compressed_bombs(pack, name, content, tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "FREE", 2**18)
    file = tmp_path / f"{name}.{ {gzip: 'gz', bz2: 'bz2', lzma: 'xz'}[pack] }"
    file.write_bytes(pack.compress(content * 2**20))
    assert "unpacks to more than 300 times its size" in refused(tmp_path, path=file.name).message


def test_what_is_packed_well_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "FREE", 2**18)
    lines = "".join(json.dumps({"text": f"text {i} of many that are alike"}) + "\n" for i in range(8000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert data.load(Source(path="a.jsonl.gz"), tmp_path).read == 8000


ROWS = {
    "depth": (
        '{"text": "a", "b": ' + "[" * 100 + "]" * 100 + "}",
        "a.jsonl:1: lists and objects nested deeper than 64",
    ),
    "great depth": ('{"text": "a", "b": ' + "[" * 90_000 + "]" * 90_000 + "}", "a.jsonl:1: not valid JSON (nested too"),
    "half in another column": (r'{"text": "a", "b": "x\ud800"}', "a.jsonl:1: column 'b': half of a surrogate pair at"),
    "half in a list": (r'{"text": "a", "b": ["x\udfff"]}', "a.jsonl:1: column 'b': half of a surrogate pair in it"),
    "half in a name": (r'{"text": "a", "b\ud800": 1}', "a.jsonl:1: the name of column 'b"),
    "half in a key": (r'{"text": "a", "c": {"b\ud800": 1}}', "a.jsonl:1: column 'c': half of a surrogate pair in it"),
    "digits": ('{"text": "a", "b": 1' + "0" * 5000 + "}", "a.jsonl:1: not valid JSON (Exceeds the limit"),
    "a long id": ('{"text": "a", "id": "' + "i" * 5000 + '"}', "a.jsonl:1: id: 5,000 characters"),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name, write, tmp_path):
    text, message = ROWS[name]
    write(text, "a.jsonl")
    assert message in refused(tmp_path, path="a.jsonl").message
    if "half" not in name:
        write(f"[{text}]", "b.json")
        refused(tmp_path, path="b.json")


@pytest.mark.parametrize("run", [".", "!", "。", " ", "\n", ".)", "a. ", '."'])
def test_sentences_of_long_runs(run):
    from contextune.data.sentences import borders

    began = time.process_time()
    assert borders(run * 200_000)[-1] == len(run) * 200_000
    assert time.process_time() - began < 3
