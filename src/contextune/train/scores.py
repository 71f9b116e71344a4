"""Log-likelihoods of rendered rows, whatever the layout, and micro-batches in which each row has a weight.

A layout reorders rows and may compute a common beginning once. Which row a target belongs to is found by laying out
the rows a second time with their own numbers as labels: what a layout does depends on ids and on which tokens are
labelled, not on the labels.

    ids  a b c c | a b d     labels  . . c c | . . d     numbers  . . 0 0 | . . 1
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import replace
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F

from contextune.core.sequence import IGNORED, Rendered
from contextune.models.likelihood import evaluating

from .fast_path import FastPath
from .layouts import Batch, Layout, share_of
from .loss import labelled_logits

ROWS = 1024
"""Positions whose logits are brought to fp32 at once."""


def numbered(rows: Seq[Rendered]) -> list[Rendered]:
    """The rows with their numbers in the place of their labels."""
    return [relabelled(row, repeat(i)) for i, row in enumerate(rows)]


def relabelled(row: Rendered, numbers: Iterator[int]) -> Rendered:
    """The row with the next of `numbers` in the place of each label."""
    return replace(row, labels=tuple(label if label == IGNORED else next(numbers) for label in row.labels))


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
    return share_of(made, rank, Batch.blank)
