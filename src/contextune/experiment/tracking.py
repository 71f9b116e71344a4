"""A run in its trackers: every arm at every seed is a run of theirs, in one group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contextune.core.environment import rank
from contextune.core.files import digest

from .prepare import Prepared
from .prepare.data import DATE

FOLDER = ".tracking"


def folder_of(prepared: Prepared) -> Path:
    """Where trackers keep what they are told: beside the run's folder, which holds nothing but what we write, and by
    the date on which the run began, so that one that is begun anew is another.
    """
    began = prepared.began.strftime(DATE).replace(" ", "_").replace(":", "-")
    return prepared.out.parent / FOLDER / prepared.out.name / began


def tracking(prepared: Prepared, arm: str, seed: int, index: int) -> Any:
    """The callback that tells a stage's trackers; None where the recipe names none."""
    if not any(prepared.recipe.track.trackers()):
        return None
    from contextune.train.tracking import Tracking  # imports torch

    return Tracking(_run(prepared, arm, seed, index))


def begin(prepared: Prepared) -> None:
    """Make what the trackings of several processes share."""
    if any(prepared.recipe.track.trackers()) and rank() == 0:
        from contextune.train.tracking import make_store

        make_store(_run(prepared, "", 0, 0))


def log_measures(prepared: Prepared, results: dict[str, Any]) -> None:
    """Tell each arm's score and measures, over all its seeds, to the tracked run of each of its seeds."""
    if not any(prepared.recipe.track.trackers()) or rank() != 0:
        return
    from contextune.train.tracking import log

    for arm, found in (results.get("arms") or {}).items():
        values = {f"eval_{name}": measure["value"] for name, measure in found["measures"].items()}
        values |= {"eval_score": found["score"]}
        for seed in prepared.recipe.seeds_of(arm):
            run = _run(prepared, arm, seed, len(prepared.arms[arm]))
            log(run, {name: value for name, value in values.items() if value is not None})


def lines(prepared: Prepared) -> Iterator[str]:
    """Where what is tracked is looked at."""
    folder, track = folder_of(prepared), prepared.recipe.track
    if track.tensorboard is not None:
        yield f"tensorboard --logdir {folder / 'tensorboard'}"
    if track.trackio is not None:
        from contextune.train.trackers import trackio_folder

        place = f"https://huggingface.co/spaces/{track.trackio.space}" if track.trackio.space else ""
        project = track.project or prepared.recipe.name
        yield place or f"TRACKIO_DIR={trackio_folder(folder)} trackio show --project {project}"
    if track.wandb is not None and not track.wandb.online:
        yield f"wandb sync {folder / 'wandb' / 'wandb'}/offline-run-* sends it to the service"
    if track.mlflow is not None:
        uri = track.mlflow.uri or f"sqlite:///{folder / 'mlflow.db'}"
        yield f"mlflow ui --backend-store-uri {uri}"


def _run(prepared: Prepared, arm: str, seed: int, index: int) -> Any:
    """What trackers know of a stage; its arm's steps go on from those of the stages before."""
    from contextune.train.trackers import TrackedRun

    stages = prepared.arms.get(arm, ())
    name, out = f"{arm}/seed-{seed}", prepared.out.resolve()
    began = prepared.began.strftime(DATE)
    return TrackedRun(
        track=prepared.recipe.track,
        folder=folder_of(prepared).resolve(),
        group=prepared.recipe.name,
        name=name,
        id=digest([prepared.recipe.name, str(out), began, name])[:16],
        before=sum(ready.plan(seed).updates for ready in stages[:index]),
        config={"recipe": prepared.recipe.name, "arm": arm, "seed": seed, **_options(stages, index)},
    )


def _options(stages: Any, index: int) -> dict[str, Any]:
    """The training options of a stage by dotted keys; those of the first where the arm is done."""
    if not stages:
        return {}
    found = stages[index if index < len(stages) else 0].train.model_dump(mode="json")
    return {f"train.{key}": value for key, value in found.items()}
