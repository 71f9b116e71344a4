"""What one stage trains on, ready to be drawn from."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contextune.contexts import BoundPolicy, Share
from contextune.core.sequence import Record
from contextune.train.options import Train
from contextune.train.schedule import Plan

from ..recipe import Stage

if TYPE_CHECKING:
    from contextune.augment.stage import Augmented


@dataclass(frozen=True)
class PreparedStage:
    """One stage of an arm: its records, its bound context, its training options."""

    stage: Stage
    train: Train
    records: Seq[Record]
    context: BoundPolicy
    origins: Seq[str]
    """The source of each record; of what was inferred, "source+operation"."""
    augmented: Augmented | None = None
    validation: Seq[Record] = ()
    """What the validation loss is measured on: texts that no arm trains on, and no test asks about."""
    shares: tuple[Share, ...] = ()
    """What its policy wants of its contexts, and what the rows allow."""

    def plan(self, seed: int) -> Plan:
        return Plan.of(len(self.records), self.train.batch, seed, self.train.epochs, self.train.steps)
