"""Edits of labels: all answers of a context are exchanged by one permutation, and the record's with them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence as Seq
from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record
from contextune.retrieval import Pool, answer, given

from .base import Edit, Editor, swapped

MANY = 20
"""Different answers from which on they are no labels."""


@registry.editors("labels")
class Labels(Editor):
    """Pairs with few different answers."""

    generality: ClassVar[int | None] = 10

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Labels:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        counts = Counter(r.target for r in pool.records if answer(r))
        few = 1 < len(counts) <= MANY and all(n > 1 for n in counts.values())
        self.labels = sorted(counts) if few else []
        self.having = {label: [r for r in pool.records if r.target == label and answer(r)] for label in self.labels}

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        if record.target not in self.labels or not answer(record):
            return None
        turned = dict(zip(self.labels, deranged(self.labels, rng), strict=True))

        def rewrite(other: Record) -> Record | None:
            return swapped(other, target=lambda text: turned.get(text, text)) if answer(other) else None

        alike = [r for r in self.having[record.target] if r.id != record.id and given(r) != given(record)]
        asked, telling = rewrite(record), rewrite(rng.choice(alike)) if alike else None
        if asked is None or telling is None:
            return None
        return Edit(asked, (telling,), rewrite, {"editor": "labels", "from": record.target, "to": asked.target})

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        return None


def deranged(values: list[str], rng: random.Random) -> list[str]:
    """A permutation that leaves nothing in its place."""
    while True:
        made = rng.sample(values, len(values))
        if all(a != b for a, b in zip(values, made, strict=True)):
            return made
