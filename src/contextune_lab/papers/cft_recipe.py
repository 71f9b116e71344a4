"""The search and the comparison of the study of contextual fine-tuning as recipes, and what differs by model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.core.errors import UserError
from contextune.core.options import LARGEST_SEED, Options

from . import cft_search as search
from . import presets
from .cft_claims import ON, PRICE, TEST, TESTS
from .cft_search import CONSTANT, LONGEST, Setting
from .claims import StudyOptions

LEARNING = {"policy": "prompts", "set": "learning"}
CONTEXTS: dict[str, dict[str, Any]] = {
    "cft": LEARNING,
    "negative": {"policy": "prompts", "set": "negative"},
    "neutral": {"policy": "prompts", "set": "neutral"},
    "random_tokens": {"policy": "random_tokens", "set": "learning"},
}
ABOUT = {
    "none": "the model as it is",
    "cpt": "the documents alone",
    "cft": "a learning prompt before each document",
    "negative": "a prompt that discourages learning",
    "neutral": "a prompt about nothing of the sort",
    "random_tokens": "random tokens, as many as the prompt has",
    "generated": "a prompt that the model itself wrote for the document",
    "reading": "the documents and reading tasks mined from them (no prompt)",
    "ift": "question and answer pairs about other documents",
    "cpt_ift": "documents, then pairs",
    "cft_ift": "documents behind learning prompts, then pairs",
}
SMALL = {"size": "small", "key_points": 2, "mentions": 4, "padding": 1, "probes": 24}
"""The pocket model's documents: two key points, each told four times in two wordings."""
JUDGED = 1
"""The draw of the world that is judged: settings were chosen on draw 0, whose people and key points are others."""
PAIRS, BATCH = 60, 2
"""Updates of the instruction stage; documents, or pairs, an update."""


class Files(Options):
    """Documents and tests that are read from the files of `--set data=FOLDER`, in the place of the world."""

    what: str
    """In words."""
    texts: dict[str, Any]
    """The source of the documents, of which some are held out; paths are within the folder."""
    tasks: list[dict[str, Any]]
    """Tests; their paths are within the folder. Draw d asks the d-th `limit` items of each."""


class Setup(Options):
    """What differs by model: here, that of the pocket model."""

    files: Files | None = None
    arms: tuple[str, ...] | None = None
    """Which of the trained arms; null: all."""
    rates: tuple[float, ...] = search.POCKET_RATES
    fixed: float | None = None
    """One rate for all arms, found before, at the longest length: nothing is searched for."""
    longest: int = LONGEST
    pairs: dict[str, Any] = Field({"lr": 1e-3, "schedule": "cosine", "warmup": 0.05})
    """How the instruction stage is trained."""
    writes: bool = False
    """Whether the model is asked to write prompts: the pocket model cannot."""
    judged: int = JUDGED
    found: str = ""
    """How all this was found; where nothing is searched for."""
    train: dict[str, Any] = Field({})


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("cft", wanted, Setup())
    own = {
        "longest": wanted.whole("steps", made.longest),
        "writes": wanted.flag("generated", made.writes),
        "judged": wanted.whole("draw", made.judged, 0, LARGEST_SEED),
    }
    return made.model_copy(update=own)


def documents(wanted: StudyOptions) -> dict[str, dict[str, Any]]:
    """Arms whose settings are searched for: one stage over the documents, which differs in what precedes them."""
    contexts = {**CONTEXTS, **({"generated": {"policy": "generated"}} if _writes(wanted) else {})}
    made: dict[str, dict[str, Any]] = {"cpt": {"about": ABOUT["cpt"], "data": "texts"}}
    made |= {a: {"about": ABOUT[a], "data": "texts", "context": c} for a, c in contexts.items()}
    return {a: stage for a, stage in made.items() if _runs(a, wanted)}


def _runs(arm: str, wanted: StudyOptions) -> bool:
    return (only := setup(wanted).arms) is None or arm in only


def search_recipe(wanted: StudyOptions) -> dict[str, Any]:
    """Every document arm at every rate, on the draw that is not judged; asked on the way and nothing else."""
    world = _world(wanted, search.DRAW)
    return {
        **_common(wanted, world),
        "name": "cft-search",
        "arms": search.arms(documents(wanted), rates_of(wanted)),
        "seeds": list(search.seeds(wanted.seeds)),
        "evaluate": {"tasks": [{**world, "tasks": [TEST]}], "samples": 0, "callbacks": _watched(wanted)},
        "compare": {"baseline": search.name_of("cpt", 0)},
    }


def recipe(wanted: StudyOptions, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The judged comparison. Document stages train for the longest length at their own rate and are asked on the way;
    those before an instruction stage end at their own length.
    """
    made = setup(wanted)
    if made.files:
        return _recipe_of_files(made.files, wanted, made)
    world = _world(wanted, made.judged)
    pairs = {"data": "questions", "train": {"steps": pairs_steps(wanted), **made.pairs}}
    own = {a: {"lr": s.rate, "steps": s.steps} for a, s in settings.items()}
    arms: dict[str, Any] = {"none": {"about": ABOUT["none"]}}
    arms |= {a: {**stage, "train": {"lr": settings[a].rate}} for a, stage in documents(wanted).items()}
    arms["reading"] = {**arms["cpt"], "about": ABOUT["reading"], "augment": {"operations": ["reading"]}}
    arms["ift"] = {"about": ABOUT["ift"], "stages": [pairs]}
    arms["cpt_ift"] = {"about": ABOUT["cpt_ift"], "stages": [{"data": "texts", "train": own["cpt"]}, pairs]}
    behind = {"data": "texts", "context": LEARNING, "train": own["cft"]}
    arms["cft_ift"] = {"about": ABOUT["cft_ift"], "stages": [behind, pairs]}
    alone = {**world, "tasks": [*TESTS, *PRICE]}
    asked = {**world, "tasks": [TEST], "before": LEARNING, "suffix": ON}
    return {
        **_common(wanted, world),
        "name": "cft-study",
        "arms": {a: stage for a, stage in arms.items() if a == "none" or _runs(a, wanted)},
        "seeds": list(wanted.seeds),
        "evaluate": {
            "tasks": [alone, asked], "samples": 0, "without_context": False, "callbacks": _watched(wanted),
        },
        "compare": {"baseline": "cpt", "tasks": [TEST]},
    }  # fmt: skip


def _common(wanted: StudyOptions, world: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": wanted.model,
        "data": {"texts": {**world, "split": "train"}, "questions": {**world, "split": "questions"}},
        "train": {"steps": longest_of(wanted), "batch": BATCH, "weight_decay": 0.0, "max_length": 256, **CONSTANT,
                  **setup(wanted).train},
    }  # fmt: skip


def _recipe_of_files(files: Files, wanted: StudyOptions, made: Setup) -> dict[str, Any]:
    """The comparison on documents and tests of one's own: all document arms at one rate and length."""
    folder = wanted.folder("data")
    if folder is None:
        raise UserError(f"this preset reads {files.what}, and no folder is given", "--set data=FOLDER")
    common, texts = _common(wanted, {}), _within(folder, files.texts["path"])
    tasks = [
        {**task, "path": _within(folder, task["path"]), "skip": made.judged * task["limit"]} for task in files.tasks
    ]
    return {
        **common,
        "name": "cft-study",
        "data": {"texts": {**files.texts, "path": texts}},
        "arms": {"none": {"about": ABOUT["none"]}, **documents(wanted)},
        "seeds": list(wanted.seeds),
        "train": {**common["train"], "lr": made.fixed},
        "evaluate": {"tasks": tasks, "perplexity": ["texts"], "samples": 0, "without_context": False},
        "compare": {"baseline": "cpt"},
    }


def _within(folder: Path, path: str) -> str:
    if not (folder / path).exists():
        raise UserError(f"{folder}: no {path}", "give the folder that holds all the data of this preset")
    return str(folder / path)


def _world(wanted: StudyOptions, draw: int) -> dict[str, Any]:
    size = {"size": "paper"} if wanted.scale == "paper" else SMALL
    return {"world": "study", "options": {**size, "seed": draw}}


def _watched(wanted: StudyOptions) -> dict[str, Any]:
    return {"curve": {"every": search.looks(longest_of(wanted)), "tasks": [TEST]}}


def longest_of(wanted: StudyOptions) -> int:
    return setup(wanted).longest


def pairs_steps(wanted: StudyOptions) -> int:
    return max(1, longest_of(wanted) * PAIRS // LONGEST)


def rates_of(wanted: StudyOptions) -> tuple[float, ...]:
    return setup(wanted).rates


def _writes(wanted: StudyOptions) -> bool:
    return setup(wanted).writes
