"""Augmented fine-tuning (Lampinen et al. 2025, arXiv 2505.00661), with the controls that the paper lacks.

Every arm trains for the same number of updates of the same number of rows on several worlds, each of a draw that no
development saw; what an arm adds to the facts is what the untrained model itself inferred from them. Claims are made of
the facts alone and of all that is inferred, at all seeds; arms that are only a comparison have two. Worlds, rates,
updates and operations are of a `Setup`: the pocket model's here, other models' in presets/. The paper's figures
carry no numbers that could be read, so its claims are stated in words and a verdict rests on the intervals measured
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.core.options import LARGEST_SEED, Options
from contextune.core.progress import Reporter

from . import figures as drawing
from . import presets
from .augmented_claims import MATCHED, claims
from .claims import Figure, Study, StudyOptions, register
from .comparison import ControlledComparison, compare, share_store

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
    train: dict[str, Any] = Field({"lr": 3e-3})


@register("augmented")
def augmented(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm, all worlds), data (a folder of the public reversal-curse files), draw
    (of the worlds), preset.
    """
    wanted.only("augmented", "steps", "data", "draw", "preset")
    made, data = setup(wanted), wanted.folder("data")
    benches = {**made.benches, **({"public": made.public} if data and made.public else {})}
    found = {name: _measured(name, bench, wanted, reporter, data) for name, bench in benches.items()}
    return Study(
        "augmented",
        "Augmented fine-tuning",
        "Lampinen, Chaudhry, Chan et al. 2025, arXiv 2505.00661",
        tuple(claims(found, ABOUT, len(wanted.seeds))),
        (figure(found, benches),),
        notes(found, wanted),
        tuple(folder for c in found.values() for folder in c.folders),
    )


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("augmented", wanted, Setup())
    draw = wanted.whole("draw", made.draw, 0, LARGEST_SEED)
    return made.model_copy(update={"steps": wanted.whole("steps", made.steps), "draw": draw})


def _own(wanted: StudyOptions) -> bool:
    """Whether worlds keep updates of their own: `--set steps` is for all."""
    return "steps" not in wanted.options


def _measured(
    name: str, bench: Bench, wanted: StudyOptions, reporter: Reporter, data: Path | None
) -> ControlledComparison:
    main, beside = wanted.out / name, wanted.out / f"{name}-controls"
    found = compare(recipe(name, bench, wanted, data), main, reporter)
    if name not in setup(wanted).controls:
        return ControlledComparison(found)
    share_store(main, beside)
    return ControlledComparison(found, compare(controls(name, bench, wanted, data), beside, reporter))


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
            "steps": (bench.steps if _own(wanted) else None) or made.steps, "batch": 16,
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


# --------------------------------------------------------------------------------- what is shown


def figure(found: Mapping[str, ControlledComparison], benches: Mapping[str, Bench]) -> Figure:
    names = ["untrained", "in context", *OPERATIONS, PERFECT, MATCHED]
    colours = drawing.palette(names, ("untrained", "in context"))
    panels = []
    for name, c in found.items():
        bench = benches[name]
        there = [a for a in names if a in (*c.main.results["arms"], *c.control_arms)]
        values = {a: c.value(a, bench.generalise) for a in there}
        values = {"untrained": values.pop("untrained"), "in context": c.value("untrained", bench.context), **values}
        panels.append((name, values, c.chance(bench.generalise)))
    caption = (
        "What was never told as it is asked, by arm, with 95 % intervals over seeds and items; dotted: chance. "
        "“In context” is the untrained model with the facts before the question."
    )
    return Figure("Told one way, asked the other", caption, drawing.bars(panels, colours))


def notes(found: Mapping[str, ControlledComparison], wanted: StudyOptions) -> tuple[str, ...]:
    made = setup(wanted)
    matched = (
        f"; {MATCHED} trains on as many as plain fine-tuning, in as many updates as that takes"
        if MATCHED in made.arms
        else ""
    )
    filters = ", ".join(map(str, made.filters))
    updates = {name: made.benches[name].steps for name in found if name in made.benches} if _own(wanted) else {}
    own = "".join(f", {name} {n}" for name, n in updates.items() if n)
    fewer = f" ({made.few} of the arms for comparison)" if made.controls and made.few < len(wanted.seeds) else ""
    said = [
        f"Every arm: {made.steps} updates{own} of 16 rows (compare.match: rows), so that arms with longer texts train "
        f"on more target tokens, or with shorter ones on fewer{matched}. Full-text loss, {len(wanted.seeds)} "
        f"seeds{fewer}, model {wanted.model}; what an arm adds is written by the untrained model itself, filtered by "
        f"{filters}.",
        f"Worlds: draw {made.draw}; steps, rates, operations and filters were chosen on draw 0.",
        "In-context learning is given the fact among others, not the whole corpus: the pocket model was taught "
        "contexts of up to eight facts.",
        "The paper tests one model (Gemini 1.5 Flash) and shows no numbers; its claims are compared in direction.",
    ]
    for name, c in found.items():
        texts = ", ".join(f"{arm} {count}" for arm, count in c.rows().items())
        said.append(f"{name}: rows trained on by arm: {texts}.")
        if leaks := c.main.leaks("augmented"):
            shares = ", ".join(f"{task} {share:.0%}" for task, share in leaks.items() if share)
            said.append(
                f"{name}: share of test statements that stand verbatim in the augmented arm's texts: {shares or '0 %'}."
            )
    if "data" not in wanted.options:
        said.append("The public reversal-curse files were not given; --set data=FOLDER takes them.")
    return tuple(said)
