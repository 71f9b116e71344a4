"""An update's targets twice: as a teacher sees them, after their contexts, and as a student does, without.

    teacher   c c c x y1 y2 y3      labels  . . . . 0 1 2
    student         x y1 y2 y3      labels        . 0 1 2       numbers say which target is which, whatever the layout

A pass is one micro-batch of the student; the teacher is asked of its rows alone, so that logits of no more than one
micro-batch stand at once.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch

from contextune.core.sequence import IGNORED, Rendered
from contextune.models.likelihood import evaluating

from .fast_path import FastPath
from .layouts import Batch, Layout, share_of
from .loss import labelled_logits
from .scores import relabelled

LOGITS = 2**27
"""Logits of the student that stand at once at most (fp32: 512 MiB), but for a row that has more by itself."""


@dataclass(frozen=True)
class Pass:
    """A micro-batch of the student, the numbers (n,) of its targets, and its rows as the teacher sees them."""

    batch: Batch
    numbers: torch.Tensor
    rows: list[Rendered]
    numbered: list[Rendered]

    def blank(self) -> Pass:
        return Pass(self.batch.blank(), self.numbers[:0], [], [])


def aligned(row: Rendered) -> tuple[Rendered, Rendered]:
    """(the teacher's row, the student's row) with the same targets: a row's first token has nothing to be predicted
    from, so that the student may have one less."""
    bare = row.bare or row
    most = min(row.trained, bare.trained)
    return _last(row, most), _last(bare, most)


def _last(row: Rendered, most: int) -> Rendered:
    """The row with its last `most` targets alone."""
    targets = [i for i, label in enumerate(row.labels) if label != IGNORED]
    dropped = set(targets[: len(targets) - most])
    labels = tuple(IGNORED if i in dropped else label for i, label in enumerate(row.labels))
    return replace(row, labels=labels, bare=None)


def numbered(rows: Seq[Rendered]) -> list[Rendered]:
    """The rows with the number of each target, counted over all of them, in the place of its label."""
    numbers = count()
    return [relabelled(row, numbers) for row in rows]


def passes(rows: Seq[Rendered], rank: int, ranks: int, layout: Layout, tokens: int, pad: int) -> tuple[list[Pass], int]:
    """This process's passes, as many as of any other, and the targets of the whole update."""
    both = [aligned(row) for row in rows]
    teachers, students = [t for t, _ in both], [s for _, s in both]
    told, numbers = numbered(teachers), numbered(students)
    row_of = torch.tensor([i for i, row in enumerate(students) for _ in range(row.trained)])

    def made(share: Seq[Rendered], owners: Seq[Rendered]) -> list[Pass]:
        found = []
        for batch, owner in zip(layout(share, tokens, pad), layout(owners, tokens, pad), strict=True):
            whose = row_of[owner.targets].unique().tolist()
            found.append(Pass(batch, owner.targets, [teachers[i] for i in whose], [told[i] for i in whose]))
        return found

    shares = zip(layout.deal(students, ranks), layout.deal(numbers, ranks), strict=True)
    all_of_them = [made(*share) for share in shares]
    return share_of(all_of_them, rank, Pass.blank), len(row_of)


def answers(
    model: Any, engine: FastPath, asked: Pass, layout: Layout, tokens: int, pad: int, device: torch.device
) -> torch.Tensor | None:
    """The teacher's logits (n, vocabulary, fp32) for the targets of a pass, in the order of its numbers."""
    if not asked.rows:
        return None
    found: torch.Tensor | None = None
    order = asked.numbers.argsort()
    owners = layout(asked.numbered, tokens, pad)
    with evaluating(model):
        for batch, owner in zip(layout(asked.rows, tokens, pad), owners, strict=True):
            batch = batch.to(device)
            with engine.around(model, batch):
                logits = labelled_logits(model, batch).float()
            if found is None:
                found = logits.new_empty(len(asked.numbers), logits.shape[-1])
            found[order[torch.searchsorted(asked.numbers[order], owner.targets)].to(device)] = logits
    return found
