"""Who must never stand in whose context: a record itself, its duplicates, and what says the same.

id         the record, its repeats ("r7+2"), and what was made from it or from the same source
input      the same text before the answer in its normal form, core.text.key (for a raw text: the same text)
fact       a world's record about the same fact, in whatever wording
near       as similar as `near` or more, with the same answer (for raw texts, with any)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextune.core.sequence import Record
from contextune.core.text import key as same

from .space import Floats

FACTS = (("relation", "a", "b"), ("person", "description"))
"""Fields that together name the fact that a world's text is about."""
SOURCES = ("source", "sources", "paraphrase_of")
"""Fields that name the records that a text was made from, one id or several."""


def given(record: Record) -> str:
    """What similarity is judged by: what precedes the answer of a pair, a raw text whole."""
    before = "".join(s.text for s in record.segments if s.role == "context")
    return before if before.strip() else record.target


def answer(record: Record) -> str:
    """Nothing for a raw text."""
    return record.target if any(s.role == "context" and s.text.strip() for s in record.segments) else ""


def keys(record: Record, apart: Seq[str] = ()) -> Iterator[str]:
    """Records that share one of these never stand in each other's context. `apart` names fields to add."""
    yield f"id {stem(record.id)}"
    yield f"text {same(given(record))}"
    for name in SOURCES:
        value = record.fields.get(name)
        for source in value if isinstance(value, (list, tuple)) else [value] if value is not None else []:
            yield f"id {stem(str(source))}"
    for names in FACTS:
        if all(name in record.fields for name in names):
            yield "fact " + " | ".join(str(record.fields[name]) for name in names)
    for name in apart:
        if (value := record.fields.get(name)) is not None:
            yield f"{name} {value}"


def stem(id: str) -> str:
    """An id without the number of its repeat ("+2") or of its sentence ("/2")."""
    return re.sub(r"(\+\d+|/\d+)+$", "", id)


@dataclass(frozen=True)
class Guard:
    """Of each row, the places in the pool that it must not see."""

    barred: tuple[frozenset[int], ...]
    answers: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Numbers that are equal where the answers of a row and of a place are."""
    near: float

    @classmethod
    def of(cls, rows: Seq[Record], pool: Seq[Record], near: float = 0.9, apart: Seq[str] = ()) -> Guard:
        places: dict[str, set[int]] = {}
        for place, record in enumerate(pool):
            for key in keys(record, apart):
                places.setdefault(key, set()).add(place)
        barred = tuple(frozenset().union(*(places.get(k, ()) for k in keys(r, apart))) for r in rows)
        numbers: dict[str, int] = {}

        def number(records: Seq[Record]) -> NDArray[np.int64]:
            return np.array([numbers.setdefault(same(answer(r)), len(numbers)) for r in records], np.int64)

        return cls(barred, (number(rows), number(pool)), near)

    def refuse(self, row: int, places: NDArray[np.int64], scores: Floats) -> NDArray[np.bool_]:
        """Which of all places, in order, the row must not see, given how similar they are to it."""
        refused = self._near(row, places, scores)
        refused[list(self.barred[row])] = True
        return refused

    def refuse_some(self, row: int, places: NDArray[np.int64], scores: Floats) -> NDArray[np.bool_]:
        """Which of some places the row must not see."""
        barred = self.barred[row]
        named: NDArray[np.bool_] = np.array([p in barred for p in places.tolist()], np.bool_)
        refused: NDArray[np.bool_] = np.logical_or(self._near(row, places, scores), named)
        return refused

    def _near(self, row: int, places: NDArray[np.int64], scores: Floats) -> NDArray[np.bool_]:
        alike: NDArray[np.bool_] = np.logical_and(scores >= self.near, self.answers[1][places] == self.answers[0][row])
        return alike
