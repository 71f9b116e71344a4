"""A recipe made ready: everything that training and evaluation need, checked before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

from contextune.core.items import Task
from contextune.evaluate.tasks.retrieved import Retrieved

from .data import Data
from .stage import PreparedStage


@dataclass(frozen=True)
class Prepared(Data):
    """Data, with each arm's stages ready to train and the tasks loaded."""

    arms: Mapping[str, tuple[PreparedStage, ...]] = field(default_factory=dict)
    tasks: Seq[Task] = ()
    general: Task | None = None
    """General text, on which it is measured how far each model has moved from the untrained one; None: it is not."""
    retrieved: Mapping[str, Retrieved] = field(default_factory=dict)
    """Of each arm with `before`: the same tasks behind passages."""

    def tasks_of(self, arm: str) -> Seq[Task]:
        """The tasks as an arm is asked them."""
        return self.retrieved[arm].tasks if arm in self.retrieved else self.tasks

    def scored(self, arm: str) -> Seq[Task]:
        """The tasks of an arm, and the general text that its models read."""
        return (*self.tasks_of(arm), *([self.general] if self.general is not None else ()))
