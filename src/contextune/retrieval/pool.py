"""A pool of records that examples are drawn from, and how near each is to every row that is learned.

All that takes long is done once, when a pool is opened, and kept on disk; what is asked for while
training is a lookup or a handful of cells.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np

from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import Record
from contextune.core.text import normal

from .cache import kept, key
from .guard import Guard, given
from .neighbours import Neighbours
from .neighbours import nearest as search
from .similarity import Similarity
from .space import Space, grade

Near = tuple[int, float]
"""A place in the pool and its similarity."""
TIES = 16
"""Neighbours kept at least, so that those that are equally near can take turns."""


@dataclass(frozen=True)
class Pool:
    """`records` to show; `rows` gives the place of each learned record among the queries."""

    records: tuple[Record, ...]
    rows: Mapping[tuple[str, str], int]
    space: Space
    guard: Guard
    neighbours: Neighbours

    def key(self, record: Record) -> tuple[str, str]:
        """What `rows` knows a record by."""
        return _key(record)

    def row(self, record: Record) -> int:
        row = self.rows.get(_key(record))
        if row is None:
            raise UserError(f"record {record.id}: its neighbours are not known", "bind the policy to all records first")
        return row

    def nearest(self, row: int, k: int, rng: random.Random) -> list[Near]:
        """The k most similar, best first; which of those equally similar come first is drawn."""
        found = self.neighbours.of(row)
        rng.shuffle(found)
        return sorted(found, key=lambda near: -near[1])[:k]

    def random(self, row: int, n: int, rng: random.Random, limit: float | None, without: Seq[int] = ()) -> list[Near]:
        """n different ones drawn uniformly from those that are at most `limit` similar, none of `without`.

        Where there are too few of them the least similar take the empty places.
        """
        size = len(self.records)
        allowed = self._allowed(row, rng.sample(range(size), min(size, 4 * n + 8)), limit, without)
        if len(allowed) < n:
            drawn = rng.sample(range(size), size)
            allowed = self._allowed(row, drawn, limit, without)
            if len(allowed) < n and limit is not None:
                rest = self._allowed(row, drawn, None, [*without, *(i for i, _ in allowed)])
                allowed += sorted(rest, key=lambda near: near[1])
        return allowed[:n]

    def _allowed(self, row: int, places: list[int], limit: float | None, without: Seq[int]) -> list[Near]:
        if not places:
            return []
        scores = self.space.scores([row], places)[0]
        ids = np.asarray(places, np.int64)
        refused = self.guard.refuse_some(row, ids, scores)
        most, taken = 1.0 if limit is None else limit, set(without)
        return [
            (i, float(s))
            for i, s, no in zip(places, scores, refused, strict=True)
            if not no and s <= most and i not in taken
        ]

    def grades(self) -> dict[str, float]:
        """Share of the rows whose nearest example is of each grade."""
        counts = dict.fromkeys(("low", "medium", "high"), 0)
        for best in self.neighbours.scores[:, 0].tolist():
            counts[grade(best)] += 1
        return {name: n / max(1, len(self.rows)) for name, n in counts.items()}


def open_pool(
    rows: Seq[Record],
    records: Seq[Record],
    similarity: Similarity,
    k: int,
    context: BindContext,
    duplicate_threshold: float = 0.9,
    group_columns: Seq[str] = (),
) -> Pool:
    """The pool of `records` for the learned `rows`, with `k` neighbours of each known."""
    places: dict[tuple[str, str], int] = {}
    for record in rows:
        places.setdefault(_key(record), len(places))
    distinct = {_key(r): r for r in reversed(rows)}
    asked = [distinct[name] for name in places]
    queries, documents = [given(r) for r in asked], [given(r) for r in records]
    space = similarity.fit(queries, documents, context)
    guard = Guard.of(asked, records, duplicate_threshold, group_columns)
    k = max(1, min(max(k, TIES), len(records)))
    barred = [sorted(b) for b in guard.barred], [a.tolist() for a in guard.answers]
    decided = [similarity.full(), similarity.content(context), k, duplicate_threshold, barred]
    name = key("nearest", queries, documents, *decided)

    def find() -> dict[str, Any]:
        found = search(space, k, guard.refuse)
        return {"ids": found.ids, "scores": found.scores}

    known = kept(context.cache, name, find)
    return Pool(tuple(records), places, space, guard, Neighbours(known["ids"], known["scores"]))


def _key(record: Record) -> tuple[str, str]:
    return record.id, normal(given(record))
