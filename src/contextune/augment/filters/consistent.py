"""Which statements may contradict each other, and the most probable set of them that does not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from itertools import combinations

COMMON = 200
"""Statements that a name may stand in and still say that two of them are about the same."""
StatementPair = tuple[int, int]
"""Places of two statements, the smaller one first."""


def linked(keys: Seq[set[object]], made: int, most: int) -> Iterator[StatementPair]:
    """Pairs that share two keys, the first of them among the first `made`; of each text the `most` that share most."""
    holders: dict[object, list[int]] = {}
    for i, own in enumerate(keys):
        for key in own:
            holders.setdefault(key, []).append(i)
    for i in range(made):
        shared = Counter(j for key in keys[i] if len(holders[key]) <= COMMON for j in holders[key] if j != i)
        likely = sorted((-n, j) for j, n in shared.items() if n >= 2)
        yield from ((min(i, j), max(i, j)) for _, j in likely[:most])


def consistent(true: dict[int, float], clash: Iterable[StatementPair], exact: int) -> set[int]:
    """Of statements by their probability those to keep, no two of which clash; of equally good sets the larger one."""
    near: dict[int, set[int]] = {i: set() for i in true}
    for i, j in clash:
        near[i].add(j)
        near[j].add(i)
    weight = {i: math.log(p / (1 - p)) for i, q in true.items() for p in [min(max(q, 1e-6), 1 - 1e-6)]}
    kept = set[int]()
    for group in _groups(near):
        kept |= _best(group, near, weight) if len(group) <= exact else _greedy(group, near, weight)
    return kept


def _groups(near: dict[int, set[int]]) -> Iterator[list[int]]:
    left = set(near)
    while left:
        group, new = set[int](), {min(left)}
        while new:
            group |= new
            new = {j for i in new for j in near[i]} - group
        left -= group
        yield sorted(group)


def _best(group: list[int], near: dict[int, set[int]], weight: dict[int, float]) -> set[int]:
    """Every set that is consistent and cannot be enlarged, tried."""
    sets = (set(c) for n in range(len(group), 0, -1) for c in combinations(group, n))
    whole_ = (s for s in sets if all((i in s) == near[i].isdisjoint(s) for i in group))
    return max(whole_, key=lambda s: (sum(weight[i] for i in s), len(s)))


def _greedy(group: list[int], near: dict[int, set[int]], weight: dict[int, float]) -> set[int]:
    kept = set[int]()
    for i in sorted(group, key=lambda i: (-weight[i], i)):
        if near[i].isdisjoint(kept):
            kept.add(i)
    return kept
