"""Log-likelihoods of rendered rows, whatever the layout, and micro-batches in which each row has a weight.

A layout reorders rows and may compute a common beginning once. Which row a target belongs to is found by laying out
the rows a second time with their own numbers as labels: what a layout does depends on ids and on which tokens are
labelled, not on the labels.

    ids  a b c c | a b d     labels  . . c c | . . d     numbers  . . 0 0 | . . 1
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from contextune.core.sequence import IGNORED, Rendered
from contextune.models.likelihood import evaluating

from .fast_path import FastPath
from .layouts import Batch, Layout
from .loss import labelled_logits

ROWS = 1024
"""Positions whose logits are brought to fp32 at once."""


def numbered(rows: Seq[Rendered]) -> list[Rendered]:
    """The rows with their numbers in the place of their labels."""
    return [
        replace(row, labels=tuple(i if label != IGNORED else IGNORED for label in row.labels))
        for i, row in enumerate(rows)
    ]


def log_likelihoods(
    model: Any, engine: FastPath, rows: Seq[Rendered], layout: Layout, tokens: int, pad: int, device: torch.device
) -> torch.Tensor:
    """(rows,) summed log-likelihood of each row's targets (nats, fp32), without dropout and without gradients."""
    found = torch.zeros(len(rows), device=device)
    owners = layout(numbered(rows), tokens, pad)
    with evaluating(model):
        for batch, owner in zip(layout(rows, tokens, pad), owners, strict=True):
            batch = batch.to(device)
            with engine.around(model, batch):
                logits = labelled_logits(model, batch)
            parts = zip(
                logits.split(ROWS), batch.targets.split(ROWS), owner.targets.to(device).split(ROWS), strict=True
            )
            for part, targets, whose in parts:
                found.index_add_(0, whose, -F.cross_entropy(part.float(), targets, reduction="none"))
    return found


def weighted(
    rows: Seq[Rendered], weights: torch.Tensor, rank: int, ranks: int, layout: Layout, tokens: int, pad: int
) -> list[Batch]:
    """This process's micro-batches, each target with its row's weight."""
    shares = zip(layout.deal(rows, ranks), layout.deal(numbered(rows), ranks), strict=True)
    made = [
        [
            replace(batch, weights=weights[owner.targets])
            for batch, owner in zip(layout(share, tokens, pad), layout(numbers, tokens, pad), strict=True)
        ]
        for share, numbers in shares
    ]
    mine, none = made[rank], torch.empty(0, dtype=torch.long)
    empty = [Batch(mine[0].input_ids[:1, :1], None, none, none, None, torch.empty(0))]
    return mine + empty * (max(map(len, made)) - len(mine))
