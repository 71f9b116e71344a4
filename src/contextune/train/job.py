"""What a stage is given: records, context, options, a model to start from, and a folder."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.contexts import BoundPolicy
from contextune.core.sequence import Record, Tokenizer
from contextune.models.options import Model
from contextune.train.options import Train

from .grouping import grouped
from .schedule import Plan
from .updates import Updates


@dataclass(frozen=True)
class TrainJob:
    """What one stage trains, on what, from where to where."""

    records: Seq[Record]
    context: BoundPolicy
    tokenizer: Tokenizer
    train: Train
    seed: int
    start: str
    """The model folder or hub id it starts from."""
    folder: Path
    model: Model | None = None
    card: str = ""
    every: int = 0
    """Updates between two calls of `look(step, model)`, which must leave the model and all generators as they were."""
    look: Callable[[int, Any], None] | None = None
    last: bool = False
    """No stage follows."""
    validation: Seq[Record] = ()
    """What the validation loss is measured on, each text alone; empty: none is."""
    track: Any = None
    """The callback that tells trackers what is logged (`tracking.Tracking`)."""
    identity: str = ""
    """What tells this stage from any other; kept beside the checksums."""

    @property
    def extendable(self) -> bool:
        """Whether it may be trained longer later on: the checkpoint after its last whole update is then kept."""
        return self.last and self.train.schedule == "constant"

    @property
    def done(self) -> bool:
        return (self.folder / "model").is_dir()

    @property
    def plan(self) -> Plan:
        return Plan.of(len(self.records), self.train.batch, self.seed, self.train.epochs, self.train.steps)

    @property
    def updates(self) -> Updates:
        context = grouped(self.context, self.records, self.train.share)
        aim = self.train.objective
        return Updates(self.records, context, self.tokenizer, self.plan, self.train.max_length, aim.pairs, aim.bare)
