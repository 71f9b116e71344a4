"""The callback `probes`: questions asked again and again while an arm trains; no effect on what it learns."""

from __future__ import annotations

from pydantic import Field

from contextune.core import registry
from contextune.core.options import MOST
from contextune.train.callback import Callback, Look, Training

from .questions import Probes, load


@registry.callbacks("probes")
class ProbesCallback(Callback):
    """In-weights, in-context and copy scores during training."""

    items: int = Field(40, gt=0, le=MOST, description="items of each task")
    tasks: tuple[str, ...] = Field(
        (), description="tasks of evaluate.tasks with a pool, or worlds; default: all that can be probed"
    )

    def check(self, training: Training) -> None:
        self.load(training)

    def bind(self, training: Training) -> Look:
        from .watch import ProbeWatcher  # imports torch

        run = training.run
        return ProbeWatcher(self.load(training), run.tokenizer, training.folder, run.recipe.evaluate.tokens)

    def load(self, training: Training) -> list[Probes]:
        """What is asked, loaded once a run."""
        run = training.run
        if self not in run.kept:
            run.kept[self] = load(
                run.recipe.evaluate.tasks, run.base, run.recipe.data, self.items, self.tasks, run.asking, run.kept
            )
        found: list[Probes] = run.kept[self]
        return found
