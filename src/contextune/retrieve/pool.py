"""A pool of records that examples are drawn from, and how near each is to every row that is learned.

    similarity: lexical | overlap | dense | {kind: lexical, k1: 1.2} | {kind: dense, encoder: models/minilm}

All that takes long is done once, when a pool is opened, and kept on disk; what is asked for while
training is a lookup or a handful of cells.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Discriminator

from ..errors import UserError, nearest
from ..sequence import Record
from . import dense
from .cache import kept, key
from .dense import Dense
from .guard import Guard, given
from .lexical import Lexical
from .nearest import Neighbours
from .nearest import nearest as search
from .overlap import Overlap
from .space import Floats, Space, grade, normalised

KINDS = ("lexical", "overlap", "dense")
Near = tuple[int, float]
"""A place in the pool and its similarity."""
TIES = 16
"""Neighbours kept at least, so that those that are equally near can take turns."""


def _named(value: object) -> object:
    value = {"kind": value} if isinstance(value, str) else value
    if isinstance(value, dict) and value.get("kind") not in KINDS:
        raise UserError(f"unknown similarity '{value.get('kind')}'", nearest(str(value.get("kind")), KINDS))
    return value


Similarity = Annotated[Lexical | Overlap | Dense, Discriminator("kind"), BeforeValidator(_named)]


@dataclass(frozen=True)
class Place:
    """Where similarities come from and are kept."""

    model: str | None = None
    folder: Path | None = None
    cache: Path | None = None
    told: Callable[[int, int], None] | None = None


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

    def random(self, row: int, n: int, rng: random.Random, tau: float | None, without: Seq[int] = ()) -> list[Near]:
        """n different ones drawn uniformly from those that are at most `tau` similar, none of `without`.

        Where there are too few of them the least similar take the empty places.
        """
        size = len(self.records)
        allowed = self._allowed(row, rng.sample(range(size), min(size, 4 * n + 8)), tau, without)
        if len(allowed) < n:
            drawn = rng.sample(range(size), size)
            allowed = self._allowed(row, drawn, tau, without)
            if len(allowed) < n and tau is not None:
                rest = self._allowed(row, drawn, None, [*without, *(i for i, _ in allowed)])
                allowed += sorted(rest, key=lambda near: near[1])
        return allowed[:n]

    def _allowed(self, row: int, places: list[int], tau: float | None, without: Seq[int]) -> list[Near]:
        if not places:
            return []
        scores = self.space.scores([row], places)[0]
        ids = np.asarray(places, np.int64)
        refused = self.guard.refuse_some(row, ids, scores)
        most, taken = 1.0 if tau is None else tau, set(without)
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
    similarity: Lexical | Overlap | Dense,
    k: int,
    near: float = 0.9,
    apart: Seq[str] = (),
    place: Place | None = None,
) -> Pool:
    """The pool of `records` for the learned `rows`, with `k` neighbours of each known."""
    place = place or Place()
    places: dict[tuple[str, str], int] = {}
    for record in rows:
        places.setdefault(_key(record), len(places))
    distinct = {_key(r): r for r in reversed(rows)}
    asked = [distinct[name] for name in places]
    queries, documents = [given(r) for r in asked], [given(r) for r in records]
    identity = similarity.identity(place.model, place.folder) if isinstance(similarity, Dense) else ""
    options = similarity.model_dump(mode="json")
    space = _space(queries, documents, similarity, place, key("vectors", queries, documents, options, identity))
    guard = Guard.of(asked, records, near, apart)
    k = max(1, min(max(k, TIES), len(records)))
    barred = [sorted(b) for b in guard.barred], [a.tolist() for a in guard.answers]
    name = key("nearest", queries, documents, options, identity, k, near, barred)

    def find() -> dict[str, Any]:
        found = search(space, k, guard.refuse)
        return {"ids": found.ids, "scores": found.scores}

    known = kept(place.cache, name, find)
    return Pool(tuple(records), places, space, guard, Neighbours(known["ids"], known["scores"]))


def _space(queries: list[str], documents: list[str], similarity: Any, place: Place, name: str) -> Space:
    """Vectors of a model are kept on disk; counting words is quicker than reading a file."""
    if not isinstance(similarity, Dense):
        fitted: Space = similarity.fit(queries, documents)
        return fitted

    def embed() -> dict[str, Floats]:
        texts = list(dict.fromkeys((*queries, *documents)))
        at = {text: i for i, text in enumerate(texts)}
        vectors = similarity.embed(texts, place.model, place.folder, place.told)
        return {"queries": vectors[[at[t] for t in queries]], "documents": vectors[[at[t] for t in documents]]}

    found = kept(place.cache, name, embed)
    return dense.space(found["queries"], found["documents"])


def _key(record: Record) -> tuple[str, str]:
    return record.id, normalised(given(record))
