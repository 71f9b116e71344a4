"""Statements of real documents, each read by hand beside its passage: at least 95 % of what is asked is valid.

A verdict is [id of the statement, 1 where it is valid]. Valid: the sentence says by itself what it is about (with the
document's title); the value and the anchor are whole names, numbers or dates; the right option alone is true there, in
each form; the passage with the edit says one thing. `xquad` was read while the rules were made, `tico` for the first
time with the rules as they are. The texts stay with the data (CC BY-SA 4.0, CC0): the test needs ../shared/data.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune.data import Document, Documents
from contextune.exam import languages
from contextune.exam.decisions import Decisions
from contextune.exam.make import Settings, build
from tests.conftest import SHARED, needs_shared

VERDICTS = json.loads((Path(__file__).parent / "judged" / "statements.json").read_text())


def xquad() -> list[Document]:
    rows = map(json.loads, (SHARED / "xquad_en" / "articles.jsonl").read_text("utf-8").splitlines())
    return [Document(r["id"], "", text=r["text"], fields={"title": r["title"]}) for r in rows]


def tico() -> list[Document]:
    """The English side of both files: the sentences of a document in order, each once."""
    found: dict[str, dict[str, None]] = {}
    for language in ("hi", "ta"):
        text = (SHARED / "translation" / f"tico19_medical_en-{language}.tsv").read_text("utf-8")
        for line in filter(None, text.split("\n")[1:]):
            id, english, *_ = line.split("\t")
            found.setdefault(id.split(":")[0], {})[english.strip()] = None
    return [Document(id, "", text=" ".join(sentences)) for id, sentences in found.items()]


@needs_shared
@pytest.mark.parametrize("documents", [xquad, pytest.param(tico, marks=pytest.mark.slow)], ids=["xquad", "tico"])
def test_what_is_asked_is_what_was_judged(documents):
    found = documents()
    loaded = Documents(tuple(found), (), len(found), (), 0, 1, (), "")
    exam = build(loaded, Settings(items=200, seed=9), languages.load("en"), Decisions())
    verdicts = dict(VERDICTS[documents.__name__])
    made = [one.statement.id for one in exam.asked]
    judged = [verdicts[id] for id in made if id in verdicts]
    assert len(judged) >= 0.9 * len(made), "statements that nobody has read: read them, and add their verdicts"
    assert sum(judged) >= 0.95 * len(judged)
