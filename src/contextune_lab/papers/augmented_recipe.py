"""The comparisons of the study of augmented fine-tuning as recipes, and what of them differs by model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.core.options import LARGEST_SEED, Options

from . import presets
from .augmented_claims import MATCHED
from .claims import StudyOptions

CLEAN = ["malformed", "near_copy", "unsupported_entities", "duplicate"]
LOCAL, GLOBAL = ["rephrase", "reversal", "conclusions"], ["link", "deductions"]
OPERATIONS = {
    "finetuned": [],
    "rephrase": ["rephrase"],
    "local": LOCAL,
    "global": GLOBAL,
    "augmented": [*LOCAL, *GLOBAL],
    "reversed_strings": ["reversed_strings"],
    "self_qa": ["questions"],
}
"""What each arm adds to the facts; `augmented` is local and global together."""

MAIN = ("finetuned", "augmented")
"""Arms that claims are made of, beside `augmented_tokens`."""
CONTROLS = {
    "reversal": ("rephrase", "local", "global", "reversed_strings", "self_qa"),
    "descriptions": ("rephrase", "local", "global", "self_qa"),
    "syllogism": ("local", "global"),
}
"""By world, arms for comparison alone."""
FEW = 2
"""Their seeds."""
DRAW = 1
"""The draw of the worlds that is judged: all was developed on draw 0, whose names and facts are others."""

MECHANICAL = ("reversed_strings",)
"""Arms whose texts no model writes; nothing is filtered there."""
PERFECT = "oracle"
"""The arm of what a perfect writer would infer: a group of records that a world has for it."""

ABOUT = {
    "untrained": "the model as it is",
    "finetuned": "the facts alone",
    "rephrase": "and rephrasings",
    "local": "and what follows from each sentence",
    "global": "and what follows from each document beside the others",
    "augmented": "local and global together",
    "reversed_strings": "and the facts with their words turned round (no model)",
    "self_qa": "and questions with their answers",
    PERFECT: "and what a perfect writer would infer (no model)",
    MATCHED: "augmented, with as many target tokens as the facts alone",
}


class Bench(Options):
    """A world of the study and which of its tasks stand for what."""

    world: str
    learn: str
    generalise: str
    context: str
    """The generalising test with what it needs in its context."""
    more: tuple[str, ...] = ()
    """Other tasks that claims are made of."""
    sizes: dict[str, int] = Field({})
    """Of the world at scale tiny, in the place of those of its size "small"."""
    files: bool = False
    """Whether the public files of `--set data=FOLDER` take the place of what is generated."""
    operations: dict[str, list[Any]] = Field({})
    """By arm, in the place of the setup's."""
    steps: int | None = None
    max_length: int = 128
    failures: float | None = None
    """Share of requests that may go without an answer, where the pocket model is often at a loss."""

    @property
    def tasks(self) -> list[str]:
        return [self.learn, self.generalise, self.context, *self.more]


BENCHES = {
    "reversal": Bench(
        world="reversals", learn="forward", generalise="reversal", context="reversal_in_context",
        more=("forward_written", "reversal_written"),
    ),
    "descriptions": Bench(
        world="descriptions", learn="forward_name_first", generalise="reversal_name_first",
        context="reversal_in_context",
    ),
    "syllogism": Bench(
        world="syllogisms", learn="premise", generalise="conclusion", context="conclusion_in_context"
    ),
    "semantic": Bench(
        world="semantic", learn="recall", generalise="reversal", context="reversal_in_context",
        more=("rephrasing", "syllogism", "syllogism_in_context", "holdout"), failures=0.5,
    ),
}  # fmt: skip
PUBLIC = BENCHES["descriptions"].model_copy(update={"max_length": 256, "files": True})
STEPS = 250
"""Updates an arm."""


class Setup(Options):
    """What differs by model: here, that of the pocket model."""

    benches: dict[str, Bench] = Field(BENCHES)
    public: Bench | None = PUBLIC
    """Beside them where the public files are given."""
    arms: tuple[str, ...] = (*MAIN, MATCHED)
    controls: dict[str, tuple[str, ...]] = Field(CONTROLS)
    few: int = FEW
    operations: dict[str, list[Any]] = Field(OPERATIONS)
    filters: list[Any] = Field(CLEAN)
    steps: int = STEPS
    draw: int = DRAW
    found: str = "steps, rates, operations and filters were chosen on draw 0."
    """How all this was found."""
    train: dict[str, Any] = Field({"lr": 3e-3})


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("augmented", wanted, Setup())
    draw = wanted.whole("draw", made.draw, 0, LARGEST_SEED)
    return made.model_copy(update={"steps": wanted.whole("steps", made.steps), "draw": draw})


def keeps_own_steps(wanted: StudyOptions) -> bool:
    """Whether worlds keep updates of their own: `--set steps` is for all."""
    return "steps" not in wanted.options


def recipe(name: str, bench: Bench, wanted: StudyOptions, data: Path | None = None) -> dict[str, Any]:
    """The comparison on one world, as a recipe."""
    made = setup(wanted)
    arms: dict[str, Any] = {"untrained": {"about": ABOUT["untrained"]}}
    arms |= {arm: _arm(arm, bench, made) for arm in made.arms if arm != MATCHED}
    if MATCHED in made.arms:
        arms[MATCHED] = {**arms["augmented"], "about": ABOUT[MATCHED], "match": "tokens"}
    return _recipe(f"augmented-{name}", bench, arms, wanted, wanted.seeds, data)


def controls(name: str, bench: Bench, wanted: StudyOptions, data: Path | None = None) -> dict[str, Any]:
    """The arms for comparison on one world."""
    made = setup(wanted)
    arms = {arm: _arm(arm, bench, made) for arm in made.controls[name]}
    spec = _recipe(f"augmented-{name}-controls", bench, arms, wanted, wanted.seeds[: made.few], data)
    if PERFECT in arms:
        spec["data"][PERFECT] = {**spec["data"]["facts"], "split": PERFECT}
        spec["allow_overlap"] = True  # what follows from the facts is what is asked
    return spec


def _arm(arm: str, bench: Bench, made: Setup) -> dict[str, Any]:
    if arm == PERFECT:
        return {"about": ABOUT[arm], "data": ["facts", PERFECT]}
    operations = bench.operations.get(arm, made.operations[arm])
    lenient = {"failures": bench.failures} if bench.failures else {}
    clean = {} if arm in MECHANICAL else {"filters": made.filters}  # no writer errs there
    augment = {"augment": {"operations": operations, **clean, **lenient}} if operations else {}
    return {"about": ABOUT[arm], "data": "facts", **augment}


def _recipe(
    name: str,
    bench: Bench,
    arms: Mapping[str, Any],
    wanted: StudyOptions,
    seeds: tuple[int, ...],
    data: Path | None,
) -> dict[str, Any]:
    made = setup(wanted)
    world = {"world": bench.world, "options": _options(bench, wanted, made.draw, data)}
    return {
        "name": name,
        "model": wanted.model,
        "data": {"facts": {**world, "split": "train"}},
        "arms": dict(arms),
        "seeds": list(seeds),
        "train": {
            "steps": (bench.steps if keeps_own_steps(wanted) else None) or made.steps, "batch": 16,
            "weight_decay": 0.0, "max_length": bench.max_length, **made.train,
        },
        "evaluate": {"tasks": [{**world, "tasks": bench.tasks}], "samples": 0, "without_context": False},
        "compare": {
            "baseline": next(a for a in arms if a != "untrained"), "match": "rows", "tasks": [bench.generalise],
        },
    }  # fmt: skip


def _options(bench: Bench, wanted: StudyOptions, draw: int, data: Path | None) -> dict[str, Any]:
    """Of the world: what is drawn, or which part of the public files."""
    tiny = wanted.scale == "tiny"
    if bench.files and data:
        return {"path": str(data), **({"seed": draw, **bench.sizes} if bench.sizes and tiny else {})}
    return {"size": "paper" if wanted.scale == "paper" else "small", "seed": draw, **(bench.sizes if tiny else {})}
