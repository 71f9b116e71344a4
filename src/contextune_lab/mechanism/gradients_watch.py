"""Contextual gradients while an arm trains: does a context's direction become a better or a worse one?

stage-K/gradients/STEP.json      what `gradients_measure.measure` gives at that update, whole or absent
stage-K/gradients/scores.json    [{task, step, n, scores}], read off these files; the report's curves

The records are those of the stage in training as they were before `augment`, the same at each look, and arms over the
same data are looked at on the same ones. Training does not notice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.contexts import PolicyOption, Prompts
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.files import digest, write_json
from contextune.core.options import MOST
from contextune.core.sequence import Rendered
from contextune.experiment.prepare import Prepared, PreparedStage, prepare_stage
from contextune.train.callback import Callback, Look, Training, begin

from .gradients import WRITTEN, beside, deciding, downstream, window

KEY = "evaluate.callbacks.gradients"
RESAMPLES = 200


@dataclass(frozen=True)
class View:
    """What is looked at: records with nothing and with a context before them, and what the deciding tasks ask for."""

    context: str
    rows: Mapping[str, Seq[Rendered]]
    asked: Mapping[str, Seq[Rendered]]
    seed: int
    pad: int


@registry.callbacks("gradients")
class GradientsCallback(Callback):
    """Gradients with and without a context, taken again and again while an arm trains; no effect on what it learns."""

    items: int = Field(16, ge=2, le=MOST, description="records, and items of each deciding task at most")
    context: PolicyOption = Field(
        default_factory=lambda: Prompts(set="learning"),
        description="what precedes the records; default: the learning prompts",
    )

    def check(self, training: Training) -> None:
        processes = int(os.environ.get("WORLD_SIZE", 1))
        if processes > 1:
            raise UserError(
                f"{KEY}: whole gradients are looked at in one process; this run has {processes}",
                f"leave {KEY} out; `contextune lab gradients` looks at a finished model",
            )
        if self.context.name == WRITTEN:
            raise UserError(f"{KEY}.context: prompts would have to be written while training",
                            "name a policy whose contexts are there, such as prompts")  # fmt: skip
        for arm, stages in training.run.arms.items():
            for one in stages:
                self.view(training.run, one, arm)

    def bind(self, training: Training) -> Look:
        return GradientWatcher(self.view(training.run, training.stage, training.arm), training.folder)

    def view(self, prepared: Prepared, of: PreparedStage, arm: str) -> View:
        """The records and tasks of one stage; UserError where the context changes which tokens are trained on."""
        seed, name = prepared.recipe.seeds[0], "-".join(map(str, (self.context.name, *_named(self.context))))
        stage = of.stage.model_copy(update={"context": self.context, "augment": None})
        try:
            found = prepare_stage(prepared, stage)
            rows = beside({name: found}, prepared.tokenizer, window(prepared), self.items, seed, [])
        except UserError as e:
            raise UserError(f"{KEY}, arm {arm}: {e.message}", e.hint) from None
        asked = downstream(prepared, self.items, seed)
        asked = {task: asked[task] for task in deciding(prepared, asked)}
        return View(name, rows, asked, seed, prepared.tokenizer.pad_token_id or 0)


def _named(context: Any) -> list[str]:
    """A prompt set's name, which tells one policy of prompts from another."""
    return [Path(s).stem for s in [getattr(context, "set", None)] if isinstance(s, str)]


class GradientWatcher:
    """`watcher(step, model)` takes the gradients, unless that was done at this step before."""

    def __init__(self, of: View, folder: Path) -> None:
        self.of, self.folder = of, folder / "gradients"

    def __call__(self, step: int, model: Any) -> None:
        from contextune.evaluate.probes.watch import undisturbed  # imports torch, which the options do not need

        file = self.folder / f"{step:06d}.json"
        self._begin()
        if not file.exists():
            with undisturbed(), _set_aside(model):
                write_json(file, self._measured(model))
        write_json(self.folder / "scores.json", collected(self.folder, self.of.context))

    def _measured(self, model: Any) -> dict[str, Any]:
        from .gradients_measure import MeasureOptions, measure

        of = self.of
        return measure(
            model, of.rows, of.asked, list(of.asked), MeasureOptions(resamples=RESAMPLES, seed=of.seed), of.pad
        )

    def _begin(self) -> None:
        """Gradients of other rows are thrown away."""
        key = digest([[(r.ids, r.labels) for r in rows] for rows in (*self.of.rows.values(), *self.of.asked.values())])
        begin(self.folder, key)


@contextmanager
def _set_aside(model: Any) -> Iterator[None]:
    """Gradients that training has at this moment are there again afterwards."""
    kept = [(p, p.grad) for p in model.parameters()]
    for p, _ in kept:
        p.grad = None
    try:
        yield
    finally:
        for p, grad in kept:
            p.grad = grad


def collected(folder: Path, context: str) -> list[dict[str, Any]]:
    """Of every look in a folder, the values that are drawn, by step."""
    files = sorted(f for f in folder.glob("*.json") if f.stem.isdigit())
    found = [(int(f.stem), json.loads(f.read_text(encoding="utf-8"))) for f in files]
    return [{"task": context, "step": step, "n": {"records": made["records"]}, "scores": scores(made, context)}
            for step, made in found]  # fmt: skip


def scores(made: Mapping[str, Any], context: str) -> dict[str, float]:
    """Of one look: with the context beside without it, and both beside what the deciding tasks ask for."""
    from .gradients_measure import TOGETHER

    of, tasks = made["contexts"][context], made["downstream"]
    task = TOGETHER if TOGETHER in tasks else next(iter(tasks), None)
    values = {name: of[name]["value"] for name in ("cosine", "ratio", "shift")}
    if task is not None:
        values["toward_plain"] = made["reference"]["downstream"][task]["cosine"]["value"]
        values["toward"] = of["downstream"][task]["cosine"]["value"]
        values["gain"] = of["downstream"][task]["difference"]["value"]
    return {name: value for name, value in values.items() if value is not None}
