"""Edits of real data, each read and judged by hand: at least 97 % are valid, and they are made again as they were read.

A verdict is [row, turn, hash of the edited text, 1 where it is valid]. Valid: input and answer agree, both are what
somebody could have written, the value is of the old one's type, and nothing else changed. The rows themselves stay with
the data (CC BY-SA 4.0, CC0): the test needs ../shared/data.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from contextune.contexts.editing.labels import Labels
from contextune.contexts.editing.values import Values
from contextune.core.sequence import Record, Segment
from tests.conftest import SHARED, needs_shared

VERDICTS = json.loads((Path(__file__).parent / "judged" / "edits.json").read_text())


def pair(id: object, prompt: str, answer: str) -> Record:
    return Record(str(id), (Segment(prompt, "context"), Segment(f" {answer}", "target")), str(id))


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in (SHARED / path).read_text().splitlines()]


def mtop() -> Iterator[Record]:
    for i, row in enumerate(lines("mtop/en_train.jsonl")[:3000]):
        yield pair(i, f"Utterance: {row['question']}\nParse:", row["logical_form"])


def bird() -> Iterator[Record]:
    for row in lines("text2sql/bird_dev.jsonl"):
        evidence = f" ({row['evidence']})" if row["evidence"] else ""
        prompt = f"Database: {row['db_id']}\nQuestion: {row['question']}{evidence}\nSQL:"
        yield pair(row["question_id"], prompt, row["SQL"])


def ntrex() -> Iterator[Record]:
    for i, line in enumerate((SHARED / "translation/ntrex_news_en-de-lt-hi-ta.tsv").read_text().split("\n")[1:]):
        if line:
            _, english, german, *_ = line.split("\t")
            yield pair(i, f"English: {english}\nGerman:", german)


def fincausal() -> Iterator[Record]:
    for row in lines("fincausal2020_task1/practice_sample.jsonl"):
        yield pair(row["index"], f"{row['text']}\nCausal:", str(row["label"]))


def digest(*records: Record) -> str:
    text = "".join(s.text for r in records for s in r.segments)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def test_the_verdicts():
    for name, verdicts in VERDICTS.items():
        assert len(verdicts) == 200, name
        assert sum(valid for *_, valid in verdicts) >= 0.97 * len(verdicts), name


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(("read", "editor"), [(mtop, Values), (bird, Values), (ntrex, Values), (fincausal, Labels)])
def test_the_judged_edits_are_made_again(read, editor):
    """An edit that is made otherwise has to be judged anew: read it, then replace its hash and verdict."""
    records = {r.id: r for r in read()}
    made = editor(SimpleNamespace(records=list(records.values()), rows={}, key=lambda r: r.id))
    other = []
    for row, turn, known, _ in VERDICTS[read.__name__]:
        edit = made.edit(records[str(row)], random.Random(f"judged {row} {turn}"))
        if edit is None or digest(edit.asked, *edit.telling) != known:
            other.append((row, turn))
    assert not other
