"""One set of random examples before several records, so that it is computed once (`train.share`).

    r1, r2, r3   k different examples, uniform on those that none of the three refuses

Of two records that refuse nothing but themselves each alone still meets every set equally often, since who stands with
whom is random. An example that a share q of all records refuses (a duplicate, a text that is near) comes about
(1 - q)^(g - 1) times as often before the others of a group of g as it would without sharing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq

import numpy as np

from contextune.retrieval import Pool
from contextune.retrieval.pool import Near


def for_all(pool: Pool, rows: Seq[int], n: int, rng: random.Random, limit: float | None) -> list[Near]:
    """n different places, each with the highest similarity to any of the rows; uniform on what all may see.

    Where too few are at most `limit` similar to every row, the least similar take the empty places; what the guard
    refuses to one row never does.
    """
    size = len(pool.records)
    found = _seen_by_all(pool, rows, rng.sample(range(size), min(size, 4 * n + 8)))
    allowed = [near for near in found if limit is None or near[1] <= limit]
    if len(allowed) < n:
        found = _seen_by_all(pool, rows, rng.sample(range(size), size))
        allowed = [near for near in found if limit is None or near[1] <= limit]
        if limit is not None:
            allowed += sorted((near for near in found if near[1] > limit), key=lambda near: near[1])
    return allowed[:n]


def _seen_by_all(pool: Pool, rows: Seq[int], places: list[int]) -> list[Near]:
    ids = np.asarray(places, np.int64)
    scores = pool.space.scores(rows, places)
    refused = np.any([pool.guard.refuse_some(row, ids, s) for row, s in zip(rows, scores, strict=True)], axis=0)
    highest = scores.max(axis=0)
    return [(place, float(s)) for place, s, no in zip(places, highest, refused, strict=True) if not no]
