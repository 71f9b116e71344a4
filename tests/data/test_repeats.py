"""What documents say twice, and what `contextune data` writes of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from contextune.cli import add_commands, app
from contextune.data.repeats import repeats

LONG = (
    "The heron stands in shallow water for hours and waits for fish to come near it every single day of the long year."
)
NEAR = LONG.replace("every single day", "each single day")
OTHER = "A swift sleeps on the wing and comes down to nest alone, under old roofs, where nobody sees it from below."


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([LONG, OTHER, LONG], {2: 0}),
        ([LONG, LONG.upper() + "!"], {1: 0}),
        ([LONG * 3, LONG * 2 + NEAR], {1: 0}),
        ([LONG, OTHER], {}),
        (["Yes.", "No.", "yes"], {2: 0}),
        (["One two three four.", "One two three five."], {}),  # too short to be nearly the same
        ([], {}),
        (["", ""], {1: 0}),
    ],
)
def test_repeats(texts, found):
    assert repeats(texts) == found


@given(st.lists(st.sampled_from([LONG, OTHER, "Yes.", "a b c"]), max_size=8))
def test_the_first_of_each_stays(texts):
    found = repeats(texts)
    assert len(texts) - len(found) == len(set(texts))
    assert all(j < i and texts[i] == texts[j] for i, j in found.items())


def run(*arguments: str):
    add_commands()
    return CliRunner().invoke(app, ["data", *arguments])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text(f"# Birds\n\n{LONG}\n\n{OTHER}\n")
    (tmp_path / "in" / "b.txt").write_text(f"{LONG}\n\nIt is shy.\n")
    (tmp_path / "in" / "c.txt").write_text(f"# Again\n\n{LONG}\n")
    return tmp_path


def test_the_page_and_the_rows(folder):
    made = run("in", "--out", "t.jsonl", "--drop-duplicates", "--json")
    assert made.exit_code == 0, made.output
    counts = json.loads(made.stdout)
    assert (counts["documents"], counts["paragraphs"], counts["repeated"]) == (3, 7, 2)
    rows = [json.loads(line) for line in (folder / "t.jsonl").read_text().splitlines()]
    assert [(r["id"], r["text"]) for r in rows] == [("a.md", f"# Birds\n\n{LONG}\n\n{OTHER}"), ("b.txt", "It is shy.")]
    page = (folder / "documents.html").read_text()
    assert "as in in/a.md:1" in page


def test_all_of_it_without_dropping(folder):
    assert run("in", "--out", "t.jsonl").exit_code == 0
    assert len((folder / "t.jsonl").read_text().splitlines()) == 3
    assert run("in", "--out", "t.jsonl").exit_code == 0, "its own file is written anew"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["in", "--drop-duplicates"], "nothing is written"),
        (["nowhere"], "no such file"),
        (["in/a.md", "--out", "in/a.md"], "an input as well"),
        (["in", "--out", "in/texts.jsonl"], "--out in/texts.jsonl: the file lies within the documents (in)"),
        (["."], "--page documents.html: the file lies within the documents (.)"),
        ([""], "path: an empty text"),
        (["in", "--page", "a\nb.html"], "holds the character U+000A"),
        (["in", "--out", "mine.jsonl"], "not as Contextune wrote it"),
        (["in", "--page", "mine.html"], "Contextune did not write it"),
        (["bad.docx"], "none of the documents can be read: bad.docx"),
    ],
)
def test_bad_input(folder, arguments, reason):
    (folder / "mine.jsonl").write_text("mine")
    (folder / "mine.html").write_text("mine")
    (folder / "bad.docx").write_bytes(b"bad")
    made = run(*arguments)
    assert made.exit_code != 0
    assert reason in str(made.exception) + made.output
    assert (folder / "mine.jsonl").read_text() == (folder / "mine.html").read_text() == "mine"
