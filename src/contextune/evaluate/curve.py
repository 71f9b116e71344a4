"""The callback `curve`: what tasks score while an arm trains, so that arms can be compared at every length.

stage-K/curve/STEP.json      {task: {"correct": a value an item, "clusters": one an item}}, whole or absent
stage-K/curve/scores.json    [{task, step, n, scores}], computed from these files; the report's curves

With `schedule: constant` and no warm-up the model at an update is the one that a training of that length ends with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.core import registry
from contextune.core.errors import UserError, nearest
from contextune.core.files import digest, write_json
from contextune.core.items import Task
from contextune.core.sequence import Tokenizer
from contextune.models.at_once import AtOnce
from contextune.train.callback import SCORES, Callback, Look, Training, begin

FOLDER = "curve"
KEY = "evaluate.callbacks.curve"


@registry.callbacks("curve")
class CurveCallback(Callback):
    """Learning curves: tasks scored during training."""

    tasks: tuple[str, ...] = Field((), description="tasks of evaluate.tasks; default: all that have right answers")

    def check(self, training: Training) -> None:
        self.chosen(training.run.tasks)

    def bind(self, training: Training) -> Look:
        run = training.run
        return CurveWatcher(self.chosen(run.tasks), run.tokenizer, training.folder, run.recipe.evaluate.tokens)

    def chosen(self, tasks: Seq[Task]) -> list[Task]:
        """UserError for a name that is no task of the run with right answers, and where there is none."""
        known = {t.name: t for t in tasks if t.kind != "perplexity"}
        for name in self.tasks:
            if name not in known:
                raise UserError(f"{KEY}.tasks: no task '{name}' with right answers", nearest(name, known))
        if not known:
            raise UserError(f"{KEY}: no task with right answers", "name one in evaluate.tasks")
        return [known[n] for n in self.tasks or known]


class CurveWatcher:
    """`watcher(step, model)` scores the tasks, unless that was done at this step before."""

    def __init__(self, tasks: Seq[Task], tokenizer: Tokenizer, folder: Path, tokens: AtOnce) -> None:
        self.tasks, self.tokenizer, self.folder, self.tokens = tasks, tokenizer, folder / FOLDER, tokens

    def __call__(self, step: int, model: Any) -> None:
        from .probes.watch import undisturbed  # imports torch

        items = [(t.name, t.kind, t.metric, i.prompt, i.options, i.gold) for t in self.tasks for i in t.items]
        begin(self.folder, digest(items))
        file = self.folder / f"{step:06d}.json"
        if not file.exists():
            with undisturbed():
                write_json(file, self._scored(getattr(model, "module", model)))  # DistributedDataParallel's
        write_json(self.folder / SCORES, collected(self.folder))

    def _scored(self, model: Any) -> dict[str, Any]:
        from .scoring.score import score

        made = score(model, self.tokenizer, self.tasks, arm="", seed=0, tokens=self.tokens, without_context=False)
        return {
            t.name: {"correct": made[t.name]["correct"].to_pylist(), "clusters": [i.resampled_with for i in t.items]}
            for t in self.tasks
        }


def collected(folder: Path) -> list[dict[str, Any]]:
    """Mean scores by task and step."""
    made = []
    for file in sorted(folder.glob("[0-9]*.json")):
        for task, found in json.loads(file.read_text(encoding="utf-8")).items():
            right = found["correct"]
            made.append(
                {"task": task, "step": int(file.stem), "n": len(right), "scores": {"right": sum(right) / len(right)}}
            )
    return sorted(made, key=lambda m: (m["task"], m["step"]))
