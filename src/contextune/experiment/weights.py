"""Which trained weights stay in a run's folder: all, those of the best arm, or none (`keep` of the recipe).

What is let go of is marked in the stage's `whole.json` before anything is removed. Such a stage still counts as
finished, as long as the recipe lets it go and its outcomes are there; with `keep: all` it is trained again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from contextune.core.files import RELEASED, WHOLE, Damaged, released, seal, sealed
from contextune.core.ownership import listed
from contextune.core.progress import say_once
from contextune.train.best import prune

from .prepare import Prepared
from .run_dir import stage_folder
from .run_files import CHECKPOINT, added


def again(arm: str) -> str:
    """How weights that were not kept are had."""
    return f"contextune train with the same recipe, keep=all and --arm {arm} trains them again"


def let_go(prepared: Prepared, stage: Path) -> bool:
    """Whether a stage is finished, though its weights are gone."""
    return prepared.recipe.keep != "all" and released(stage)


def is_finished(prepared: Prepared, stage: Path) -> bool:
    """Whether nothing of a stage is left to be trained."""
    return prepared.recipe.keep != "all" if released(stage) else (stage / "model").is_dir()


def parts(prepared: Prepared) -> Iterator[Prepared]:
    """What is trained and scored before any weights are let go of: an arm with those that ask its models, where
    `keep: outcomes` lets each go in its turn; else the whole run."""
    if prepared.recipe.keep != "outcomes" or int(os.environ.get("WORLD_SIZE", 1)) > 1:
        yield prepared
        return
    for arm in prepared.arms:
        if prepared.recipe.models_of(arm) == arm:
            asks = {a: stages for a, stages in prepared.arms.items() if prepared.recipe.models_of(a) == arm}
            yield replace(prepared, arms=asks)


def release(prepared: Prepared, winner: str | None) -> None:
    """Remove the weights that are not kept, once outcomes (and results, where the winner's are kept) are written."""
    keep = prepared.recipe.keep
    if keep == "best" and winner is None:
        say_once(f"{prepared.out}: no task decides which arm is the best, so all weights stay (keep: best)")
    if keep == "all" or (keep == "best" and winner is None):
        return
    best = prepared.recipe.models_of(winner) if keep == "best" and winner is not None else None
    for arm, stages in prepared.arms.items():
        folders = [stage_folder(prepared.out, arm, s, i) for s in prepared.recipe.seeds for i in range(len(stages))]
        if arm != best:
            for folder in folders:
                _release(folder)
        elif any(map(released, folders)):
            say_once(f"{arm} is the best arm, and its weights were not kept by an earlier run: {again(arm)}")


def _release(stage: Path) -> None:
    try:
        made = sealed(stage)
    except Damaged:
        made = None
    if made is None:
        return
    if strange := added(stage):
        say_once(f"{stage / 'model'}: kept, as no run has written {listed(strange)}")
        return
    if not made.get(RELEASED):
        sums = {name: value for name, value in made.pop("sums").items() if not name.startswith("model/")}
        seal(stage, sums, **{**made, RELEASED: True})
    sweep(stage)


def sweep(stage: Path) -> None:
    """Remove what is left of weights that were let go of."""
    shutil.rmtree(stage / "model", ignore_errors=True)
    for folder in stage.glob("checkpoint-*"):
        if CHECKPOINT.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    prune(stage, ())


def take_back(stages: Iterable[Path]) -> None:
    """Have stages trained again whose weights were let go of."""
    for stage in stages:
        sweep(stage)
        (stage / WHOLE).unlink()
