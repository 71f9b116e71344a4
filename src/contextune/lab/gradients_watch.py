"""Contextual gradients while an arm trains: does a context's direction become a better or a worse one?

stage-K/gradients/STEP.json      what `gradients_measure.measure` gives at that update, whole or absent
stage-K/gradients/scores.json    [{task, step, n, scores}], read off these files; the report's curves

The records are those of the stage in training as they were before `augment`, the same at each look, and arms over the
same data are looked at on the same ones. Training does not notice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..evaluate.probing import undisturbed
from ..identity import digest, write_json
from ..prepare import Prepared, Ready, ready
from ..sequence import Rendered
from .gradients import WRITTEN, beside, deciding, downstream, window
from .gradients_measure import TOGETHER, Options, measure

OPTIONS = Options(resamples=200)


@dataclass(frozen=True)
class View:
    """What is looked at: records with nothing and with a context before them, and what the deciding tasks ask for."""

    context: str
    rows: Mapping[str, Seq[Rendered]]
    asked: Mapping[str, Seq[Rendered]]
    seed: int
    pad: int


def check(prepared: Prepared) -> None:
    """UserError, before anything is trained, where `evaluate.gradients` asks for what cannot be looked at."""
    wanted = prepared.recipe.evaluate.gradients
    if wanted is None:
        return
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        raise UserError(
            f"evaluate.gradients: whole gradients are looked at in one process; this run has {processes}",
            "leave evaluate.gradients out; `contextune lab gradients` looks at a finished model",
        )
    if wanted.context.policy == WRITTEN:
        raise UserError("evaluate.gradients.context: prompts would have to be written while training",
                        "name a policy whose contexts are there, such as prompts")  # fmt: skip
    for arm, stages in prepared.arms.items():
        for one in stages:
            view(prepared, one, arm)


def view(prepared: Prepared, of: Ready, arm: str) -> View:
    """The records and tasks of one stage; UserError where the context changes which tokens bear loss."""
    wanted = prepared.recipe.evaluate.gradients
    assert wanted is not None
    seed, name = prepared.recipe.seeds[0], "-".join(map(str, (wanted.context.policy, *_named(wanted.context))))
    stage = of.stage.model_copy(update={"context": wanted.context, "augment": None})
    try:
        found = ready(prepared, stage, arm)
        rows = beside({name: found}, prepared.tokenizer, window(prepared), wanted.items, seed, [])
    except UserError as e:
        raise UserError(f"evaluate.gradients, arm {arm}: {e.message}", e.hint) from None
    asked = downstream(prepared, wanted.items, seed)
    asked = {task: asked[task] for task in deciding(prepared, asked)}
    return View(name, rows, asked, seed, prepared.tokenizer.pad_token_id or 0)


def _named(context: Any) -> list[str]:
    """A prompt set's name, which tells one policy of prompts from another."""
    return [Path(s).stem for s in [getattr(context, "set", None)] if isinstance(s, str)]


class Watcher:
    """`watcher(step, model)` takes the gradients, unless that was done at this step before."""

    def __init__(self, of: View, folder: Path) -> None:
        self.of, self.folder = of, folder / "gradients"

    def __call__(self, step: int, model: Any) -> None:
        file = self.folder / f"{step:06d}.json"
        self._begin()
        if not file.exists():
            with undisturbed(), _set_aside(model):
                write_json(file, self._measured(model))
        write_json(self.folder / "scores.json", collected(self.folder, self.of.context))

    def _measured(self, model: Any) -> dict[str, Any]:
        of = self.of
        return measure(model, of.rows, of.asked, list(of.asked), replace(OPTIONS, seed=of.seed), of.pad)

    def _begin(self) -> None:
        """Gradients of other rows are thrown away."""
        key = digest([[(r.ids, r.labels) for r in rows] for rows in (*self.of.rows.values(), *self.of.asked.values())])
        mark = self.folder / "key"
        if mark.exists() and mark.read_text() == key:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        mark.write_text(key)


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
    of, tasks = made["contexts"][context], made["downstream"]
    task = TOGETHER if TOGETHER in tasks else next(iter(tasks), None)
    values = {name: of[name]["value"] for name in ("cosine", "ratio", "shift")}
    if task is not None:
        values["toward_plain"] = made["reference"]["downstream"][task]["cosine"]["value"]
        values["toward"] = of["downstream"][task]["cosine"]["value"]
        values["gain"] = of["downstream"][task]["difference"]["value"]
    return {name: value for name, value in values.items() if value is not None}
