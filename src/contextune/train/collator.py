"""Batches for other trainers: rows of {"input_ids", "labels"} become tensors, with equal loss and gradients.

padded   a a a .      attention_mask
         b b b b
packed   a a a b b b b                   position_ids 0 1 2 0 1 2 3, by which transformers isolates the sequences
shared   c c  c a a  c b b               what all begin with stands once; a 4-D mask says who sees what, and the
         0 1  1 2 3  1 2 3               last shared token is repeated before each rest, which it predicts
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Any

import torch

from contextune.core.errors import UserError, nearest
from contextune.core.sequence import IGNORED, Rendered, Tokenizer

from .fast_path import refusal
from .layouts import Batch, Layout

FORMS = ("padded", "packed", "shared")
CollatorRow = Mapping[str, Seq[int]]


@dataclass(frozen=True)
class ContextCollator:
    """Called with rows it gives a model's inputs and `labels`. Raises UserError for an unknown layout.

    `packed` needs a model that transformers isolates by position ids; `shared` one that takes 4-D masks of booleans
    (attention `sdpa`), and no recurrent state. `refuse` says of a model whether it is one.
    """

    tokenizer: Tokenizer
    layout: str = "padded"

    def __post_init__(self) -> None:
        if self.layout not in FORMS:
            raise UserError(f"ContextCollator: unknown layout '{self.layout}'", nearest(self.layout, FORMS))

    def __call__(self, rows: Seq[CollatorRow]) -> dict[str, Any]:
        return {"padded": self.padded, "packed": packed, "shared": shared}[self.layout](rows)

    def padded(self, rows: Seq[CollatorRow]) -> dict[str, Any]:
        """On the right, to the longest row."""
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0
        width = max(len(row["input_ids"]) for row in rows)

        def filled(values: Seq[int], value: int) -> list[int]:
            return [*values, *([value] * (width - len(values)))]

        return {
            "input_ids": torch.tensor([filled(row["input_ids"], pad) for row in rows]),
            "attention_mask": torch.tensor([filled([1] * len(row["input_ids"]), 0) for row in rows]),
            "labels": torch.tensor([filled(row["labels"], IGNORED) for row in rows]),
        }

    def refuse(self, model: Any) -> None:
        """Raises UserError where `model` does not compute this layout as it computes texts alone."""

        def make(rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
            return [_Collated.of(self, part) for part in (rows[:2], rows[2:])]

        if reason := refusal(model, Layout(make)):
            raise UserError(
                f"layout '{self.layout}': this model does not compute it as it computes texts alone ({reason})",
                'use layout="padded", or a per_device_train_batch_size of 1' if self.layout != "padded" else "",
            )


@dataclass(frozen=True)
class _Collated(Batch):
    """What a collator makes of rows."""

    given: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, collator: ContextCollator, rows: Seq[Rendered]) -> _Collated:
        given = collator([{"input_ids": row.ids, "labels": row.labels} for row in rows])
        follows = torch.full_like(given["labels"], IGNORED)
        follows[:, :-1] = given["labels"][:, 1:]
        keep = (follows.flatten() != IGNORED).nonzero().squeeze(1)
        ids = given.pop("input_ids")
        more = {k: v for k, v in given.items() if k not in ("labels", "use_cache")}
        return cls(ids, None, keep, follows.flatten()[keep], given=more)

    def to(self, device: torch.device) -> _Collated:
        ids, keep, targets = (t.to(device) for t in (self.input_ids, self.keep, self.targets))
        return _Collated(ids, None, keep, targets, given={k: v.to(device) for k, v in self.given.items()})

    @property
    def inputs(self) -> dict[str, Any]:
        return {"input_ids": self.input_ids, **self.given}


def packed(rows: Seq[CollatorRow]) -> dict[str, Any]:
    """One row; no sequence predicts the first token of the next."""
    ids = [i for row in rows for i in row["input_ids"]]
    labels = [label for row in rows for label in (IGNORED, *row["labels"][1:])]
    positions = [p for row in rows for p in range(len(row["input_ids"]))]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([labels]),
        "use_cache": False,  # with a cache, transformers does not look at where positions restart
    }


def shared(rows: Seq[CollatorRow]) -> dict[str, Any]:
    """One row that begins with the unlabelled tokens that all rows begin with."""
    common = max(0, _common(rows) - 1)  # the last one precedes each rest, which it predicts
    ids, labels = list(rows[0]["input_ids"][:common]), [IGNORED] * common
    positions, owners = list(range(common)), [0] * common
    for number, row in enumerate(rows, 1):
        rest = row["input_ids"][common:]
        ids += rest
        labels += [IGNORED, *row["labels"][common + 1 :]]
        positions += range(common, common + len(rest))
        owners += [number] * len(rest)
    owner, at = torch.tensor(owners), torch.arange(len(owners))
    seen = ((owner[:, None] == owner) | (owner == 0)) & (at[:, None] >= at)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": seen[None, None],
        "labels": torch.tensor([labels]),
    }


def _common(rows: Seq[CollatorRow]) -> int:
    """How many tokens all rows begin with, none of them labelled."""
    shortest = min(len(row["input_ids"]) for row in rows)
    for at in range(shortest):
        same = len({row["input_ids"][at] for row in rows}) == 1
        if not same or any(row["labels"][at] != IGNORED for row in rows):
            return at
    return shortest
