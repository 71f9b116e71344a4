"""Sequences that begin alike, laid in one row so that what they share is computed once, forward and backward.

    rows                 the row they become              what a token sees
    a b c d e            a b c │ d e │ x y z              d: a b c d      y: a b c x y
    a b c x y z          0 1 2 │ 3 4 │ 3 4 5  positions   (never d e from x y z)

Gradients through the shared keys and values add up, so loss and gradients are those of one sequence at a time.
Sequences that share nothing stand in the row each by itself, with no padding between them.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch

from contextune.core.sequence import IGNORED, Rendered

LEAST = 8
"""Tokens in common from which sequences are grouped; a matter of speed only."""


@dataclass(frozen=True)
class Span:
    """A stretch of a row: `shared` tokens, then the tails that each continue them (none: a sequence by itself)."""

    shared: int
    tails: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.shared + sum(self.tails)


@dataclass(frozen=True)
class SpanGroup:
    """Sequences with their first `shared` tokens in common; one sequence alone shares all of its tokens."""

    rows: tuple[Rendered, ...]
    shared: int

    @property
    def span(self) -> Span:
        return Span(self.shared, tuple(useful(r) - self.shared for r in self.rows if useful(r) > self.shared))


@lru_cache(maxsize=256)  # an update's rows, each asked for many times
def useful(row: Rendered) -> int:
    """Tokens that the model must read: those before the last one that is trained on, which is only predicted."""
    return max((i for i, label in enumerate(row.labels) if i and label != IGNORED), default=1)


def groups(rows: Seq[Rendered]) -> list[SpanGroup]:
    """Rows grouped so that the fewest tokens are computed (dynamic programme over the rows in lexicographic order).

    In that order the tokens common to rows i..j are the least of those common to neighbours, so that groups are runs.
    """
    rows = sorted(rows, key=lambda r: (r.ids[: useful(r)], r.labels))
    common = [0, *(_common(a, b) for a, b in pairwise(rows))]
    best: list[tuple[int, int, int]] = [(0, 0, 0)]  # tokens of the first j rows; where their last group begins; shared
    for j, last in enumerate(rows, start=1):
        size = useful(last)
        options = [(best[j - 1][0] + size, j - 1, size)]
        tails, shared = size, size
        for i in range(j - 2, -1, -1):
            shared, tails = min(shared, common[i + 1]), tails + useful(rows[i])
            if shared < LEAST:
                break
            options.append((best[i][0] + tails - shared * (j - i - 1), i, shared))
        best.append(min(options))
    found, j = [], len(rows)
    while j:
        _, i, shared = best[j]
        found.append(SpanGroup(tuple(rows[i:j]), shared))
        j = i
    return found[::-1]


def fitted(group: SpanGroup, tokens: int) -> list[SpanGroup]:
    """The group cut into ones of at most `tokens` tokens (of one sequence at least); each computes what it shares."""
    parts: list[list[Rendered]] = []
    size = 0
    for row in group.rows:
        tail = useful(row) - group.shared
        if not parts or size + tail > tokens:
            parts.append([])
            size = group.shared
        parts[-1].append(row)
        size += tail
    return [SpanGroup(tuple(p), group.shared if len(p) > 1 else useful(p[0])) for p in parts]


def neighbours(rows: Seq[Rendered], ranks: int) -> list[list[Rendered]]:
    """Rows dealt to `ranks` processes in runs of like beginnings and of about equal length; none goes without."""
    rows = sorted(rows, key=lambda r: r.ids)
    total, done = sum(map(len, rows)), 0
    shares: list[list[Rendered]] = [[]]
    for i, row in enumerate(rows):
        due = done >= total * len(shares) / ranks or len(rows) - i <= ranks - len(shares)
        if shares[-1] and len(shares) < ranks and due:
            shares.append([])
        shares[-1].append(row)
        done += len(row)
    return shares


def flat(found: Seq[SpanGroup]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Of groups laid in one row: ids, positions, and for each labelled token where it is predicted and what it is."""
    ids: list[int] = []
    positions: list[int] = []
    keep: list[int] = []
    targets: list[int] = []
    for group in found:
        begin = len(ids)
        ids += group.rows[0].ids[: group.shared]
        positions += range(group.shared)
        for row in group.rows:
            end = useful(row)
            shift = len(ids) - group.shared  # from a place in the tail to its place in the row
            ids += row.ids[group.shared : end]
            positions += range(group.shared, end)
            for i, label in enumerate(row.labels[1 : end + 1]):
                if label != IGNORED:
                    keep.append(begin + i if i < group.shared else shift + i)
                    targets.append(label)
    return ids, positions, keep, targets


def tensors(found: Seq[SpanGroup]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `flat` has it; ids and positions (1, length), keep and targets (n,)."""
    ids, positions, keep, targets = (torch.tensor(values, dtype=torch.long) for values in flat(found))
    return ids.unsqueeze(0), positions.unsqueeze(0), keep, targets


def _common(a: Rendered, b: Rendered) -> int:
    """Leading tokens that two rows share. One may be the other's beginning, then it needs no tail."""
    most = min(useful(a), useful(b))
    return next((i for i in range(most) if a.ids[i] != b.ids[i]), most)
