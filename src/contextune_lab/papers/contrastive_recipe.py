"""The comparisons of the study of contrastive contexts as recipes, and what of them differs by model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.core.errors import UserError
from contextune.core.options import LARGEST_SEED, Options

from . import presets
from .claims import StudyOptions
from .contrastive_claims import GRADES, MAIN

ABOUT = {
    "base": "the model as it is",
    "zero": "no examples",
    "random": "random examples",
    "similar": "the nearest examples",
    "contrastive": "one paraphrase, neighbour or random example; the rest random",
    "batch_mix": "all random or all near, by a coin",
    "neighbour_only": "the nearest among random ones, always",
    "paraphrase_only": "a paraphrase among random ones, always",
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "eps0": {"eps": 0.0},
    "p0": {"p": 0.0},
}
"""Contrastive contexts with one thing changed."""
STEPS, BATCH, ITEMS = 120, 8, 32
"""Updates an arm; rows an update; items of each probe and task."""
LENGTHS = 3
"""Of training: probes look at the strategies after each third of the updates."""
SEVERAL, FEW = 3, 1
"""Seeds of settings (eps, p, reading, loss); of controls and ablations."""
WORLD = {"size": "small", "orders": 3, "groups": 25, "examples": 5, "values": 300}
JUDGED, DEVELOPED = 15, 100
"""Seeds of the world: the one that is judged, and the one that everything was developed on."""
DECIDING = ("listen_fresh", "listen_edited")
"""What the page of each comparison goes by; the study has the same from the probes, at all lengths."""


class Files(Options):
    """A task of pairs that is read from the files of `--set data=FOLDER`, in the place of the world."""

    what: str
    """In words."""
    pairs: dict[str, Any]
    """The source of what is trained on; its path is within the folder."""
    task: str
    """A task with a pool, whose rows lie in the folder."""
    splits: dict[int, str]
    """By draw: the split whose items are asked."""
    limit: int
    """Items of the task, before those that lack a grade are left out."""


class Setup(Options):
    """What differs by model: here, that of the pocket model."""

    files: Files | None = None
    arms: tuple[str, ...] = MAIN
    settings: bool = True
    ablations: bool = True
    context: dict[str, Any] = Field({})
    """Options of all contexts."""
    contrastive: dict[str, Any] = Field({})
    """Options of contrastive contexts alone."""
    steps: int = STEPS
    batch: int = BATCH
    items: int = ITEMS
    lengths: int = LENGTHS
    judged: int = JUDGED
    developed: int = DEVELOPED
    found: str = ""
    """How all this was found; of files."""
    train: dict[str, Any] = Field({"lr": 2e-3, "max_length": 512})


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("contrastive", wanted, Setup())
    own = {"steps": wanted.whole("steps", made.steps), "ablations": wanted.flag("ablations", made.ablations)}
    return made.model_copy(update=own)


def context_of(policy: str, **options: Any) -> dict[str, Any]:
    if policy == "zero":
        return {"policy": "none"}
    return {"policy": policy, "similarity": {"kind": "overlap"}, **options}


def world(wanted: StudyOptions) -> dict[str, Any]:
    """Options of the world; of size "paper" it has more templates and items."""
    seed = wanted.whole("world", JUDGED, 0, LARGEST_SEED)
    return {**WORLD, "seed": seed, "size": "paper" if wanted.scale == "paper" else "small"}


def recipe(
    name: str, arms: Mapping[str, Any], wanted: StudyOptions, seeds: tuple[int, ...], looks: int = 1
) -> dict[str, Any]:
    """Probes ask the untrained model and `looks` times after; only strategies are asked the grades."""
    made = setup(wanted)
    pairs, task, deciding = _of_files(made.files, wanted, made) if made.files else _of_world(wanted, "zero" in arms)
    probing = {"every": max(1, made.steps // looks), "items": made.items}
    return {
        "name": f"contrastive-{name}",
        "model": wanted.model,
        "data": {"pairs": pairs},
        "arms": {
            arm: {"about": ABOUT.get(arm, ""), **({"data": ["pairs"], "context": context} if context else {})}
            for arm, context in arms.items()
        },
        "seeds": list(seeds),
        "train": {
            "steps": made.steps, "batch": made.batch, "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0,
            **made.train,
        },
        "evaluate": {"tasks": [task], "samples": 0, "callbacks": {"probes": probing}},
        "compare": {"baseline": "zero" if "zero" in arms else next(iter(arms)), "tasks": deciding},
        **({"allow_overlap": True} if made.files else {}),  # answers of one shape have 13 words in common
    }  # fmt: skip


def _of_world(wanted: StudyOptions, graded: bool) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """What is trained on, what is asked, and which tasks the page of the comparison goes by."""
    source = {"world": "slots", "options": world(wanted)}
    tasks = [*(GRADES if graded else ()), *DECIDING]
    return {**source, "split": "train"}, {**source, "tasks": tasks, "limit": ITEMS}, list(DECIDING)


def _of_files(files: Files, wanted: StudyOptions, made: Setup) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    folder = _folder(files, wanted)
    draw = wanted.whole("world", made.judged, 0, LARGEST_SEED)
    if draw not in files.splits:
        raise UserError(f"--set world={draw}: unknown", f"one of {', '.join(map(str, files.splits))}")
    graded = {"similarity": "overlap", "paraphrase": "swap", "grades": list(GRADES), **made.context}
    task = {"task": files.task, "path": str(folder), "split": files.splits[draw], "limit": files.limit}
    deciding = [f"{files.task}.{grade}" for grade in ("low", "high")]
    return {**files.pairs, "path": str(folder / files.pairs["path"])}, {**task, "graded": graded}, deciding


def _folder(files: Files, wanted: StudyOptions) -> Path:
    folder = wanted.folder("data")
    if folder is None:
        raise UserError(f"this preset reads {files.what}, and no folder is given", "--set data=FOLDER")
    if not (folder / files.pairs["path"]).is_file():
        raise UserError(f"{folder}: no {files.pairs['path']}", f"give the folder of {files.what}")
    return folder
