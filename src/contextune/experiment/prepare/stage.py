"""What one stage trains on, ready to be drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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

    chosen: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """What a search has chosen of `train` at each seed."""

    def at(self, seed: int) -> PreparedStage:
        """The stage as it is trained at a seed."""
        values = self.chosen.get(seed)
        return replace(self, train=self.train.model_copy(update=values), chosen={}) if values else self

    def plan(self, seed: int) -> Plan:
        train = self.at(seed).train
        return Plan.of(len(self.records), train.batch, seed, train.epochs, train.steps)
