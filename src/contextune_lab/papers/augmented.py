"""Augmented fine-tuning (Lampinen et al. 2025, arXiv 2505.00661), with the controls that the paper lacks.

Every arm trains for the same number of updates of the same number of rows on four worlds, each of a draw that no
development saw; what an arm adds to the facts is what the untrained model itself inferred from them. Claims are made of
the facts alone and of all that is inferred, at all seeds; arms that are only a comparison have two. The paper's figures
carry no numbers that could be read, so its claims are stated in words and a verdict rests on the intervals measured
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.core.progress import Reporter

from . import figures as drawing
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

ABOUT = {
    "untrained": "the model as it is",
    "finetuned": "the facts alone",
    "rephrase": "and rephrasings",
    "local": "and what follows from each sentence",
    "global": "and what follows from each document beside the others",
    "augmented": "local and global together",
    "reversed_strings": "and the facts with their words turned round (no model)",
    "self_qa": "and questions with their answers",
    MATCHED: "augmented, with as many target tokens as the facts alone",
}


@dataclass(frozen=True, slots=True)
class Bench:
    """A world of the study and which of its tasks stand for what."""

    world: str
    learn: str
    generalise: str
    context: str
    """The generalising test with what it needs in its context."""
    more: tuple[str, ...] = ()
    """Other tasks that claims are made of."""
    max_length: int = 128
    failures: float | None = None
    """Share of requests that may go without an answer, where the pocket model is often at a loss."""

    @property
    def tasks(self) -> list[str]:
        return [self.learn, self.generalise, self.context, *self.more]


BENCHES = {
    "reversal": Bench(
        "reversals", "forward", "reversal", "reversal_in_context", ("forward_written", "reversal_written")
    ),
    "descriptions": Bench("descriptions", "forward_name_first", "reversal_name_first", "reversal_in_context"),
    "syllogism": Bench("syllogisms", "premise", "conclusion", "conclusion_in_context"),
    "semantic": Bench(
        "semantic", "recall", "reversal", "reversal_in_context",
        ("rephrasing", "syllogism", "syllogism_in_context", "holdout"), failures=0.5,
    ),
}  # fmt: skip
PUBLIC = Bench("descriptions", "forward_name_first", "reversal_name_first", "reversal_in_context", max_length=256)
STEPS = 250
"""Updates an arm."""


@register("augmented")
def augmented(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm, all worlds), data (a folder of the public reversal-curse files)."""
    wanted.only("augmented", "steps", "data")
    data = wanted.text("data", "")
    found = {name: _measured(name, bench, wanted, reporter) for name, bench in BENCHES.items()}
    if data:
        found["public"] = _measured("public", PUBLIC, wanted, reporter, str(Path(data).resolve()))
    return Study(
        "augmented",
        "Augmented fine-tuning",
        "Lampinen, Chaudhry, Chan et al. 2025, arXiv 2505.00661",
        tuple(claims(found, ABOUT, len(wanted.seeds))),
        (figure(found),),
        notes(found, wanted),
        tuple(folder for c in found.values() for folder in c.folders),
    )


def _measured(
    name: str, bench: Bench, wanted: StudyOptions, reporter: Reporter, path: str | None = None
) -> ControlledComparison:
    main, beside = wanted.out / name, wanted.out / f"{name}-controls"
    found = compare(recipe(name, bench, wanted, path), main, reporter)
    if name not in CONTROLS:
        return ControlledComparison(found)
    share_store(main, beside)
    return ControlledComparison(found, compare(controls(name, bench, wanted), beside, reporter))


def recipe(name: str, bench: Bench, wanted: StudyOptions, path: str | None = None) -> dict[str, Any]:
    """The comparison on one world, as a recipe."""
    arms: dict[str, Any] = {"untrained": {"about": ABOUT["untrained"]}}
    arms |= {arm: _arm(arm, bench) for arm in MAIN}
    arms[MATCHED] = {**arms["augmented"], "about": ABOUT[MATCHED], "match": "tokens"}
    return _recipe(f"augmented-{name}", bench, arms, wanted, wanted.seeds, path)


def controls(name: str, bench: Bench, wanted: StudyOptions) -> dict[str, Any]:
    """The arms for comparison on one world."""
    arms = {arm: _arm(arm, bench) for arm in CONTROLS[name]}
    return _recipe(f"augmented-{name}-controls", bench, arms, wanted, wanted.seeds[:FEW])


def _arm(arm: str, bench: Bench) -> dict[str, Any]:
    operations = OPERATIONS[arm]
    lenient = {"failures": bench.failures} if bench.failures else {}
    clean = {} if arm in MECHANICAL else {"filters": CLEAN}  # no writer errs there
    augment = {"augment": {"operations": operations, **clean, **lenient}} if operations else {}
    return {"about": ABOUT[arm], "data": "facts", **augment}


def _recipe(
    name: str,
    bench: Bench,
    arms: Mapping[str, Any],
    wanted: StudyOptions,
    seeds: tuple[int, ...],
    path: str | None = None,
) -> dict[str, Any]:
    size = {"tiny": "small", "small": "small", "paper": "paper"}[wanted.scale]
    world = {"world": bench.world, "options": {"path": path} if path else {"size": size, "seed": DRAW}}
    return {
        "name": name,
        "model": wanted.model,
        "data": {"facts": {**world, "split": "train"}},
        "arms": dict(arms),
        "seeds": list(seeds),
        "train": {
            "steps": steps(wanted), "batch": 16, "lr": 3e-3 if wanted.model == "pocket"
            else 3e-4, "weight_decay": 0.0, "max_length": bench.max_length,
        },
        "evaluate": {"tasks": [{**world, "tasks": bench.tasks}], "samples": 0, "without_context": False},
        "compare": {
            "baseline": next(a for a in arms if a != "untrained"), "match": "rows", "tasks": [bench.generalise],
        },
    }  # fmt: skip


def steps(wanted: StudyOptions) -> int:
    return wanted.whole("steps", STEPS)


# --------------------------------------------------------------------------------- what is shown


def figure(found: Mapping[str, ControlledComparison]) -> Figure:
    names = ["untrained", "in context", *OPERATIONS, MATCHED]
    colours = drawing.palette(names, ("untrained", "in context"))
    panels = []
    for name, c in found.items():
        bench = BENCHES.get(name, BENCHES["descriptions"])
        there = [a for a in OPERATIONS if a in (*MAIN, *c.control_arms)]
        values = {a: c.value(a, bench.generalise) for a in ("untrained", *there, MATCHED)}
        values = {"untrained": values.pop("untrained"), "in context": c.value("untrained", bench.context), **values}
        panels.append((name, values, c.chance(bench.generalise)))
    caption = (
        "What was never told as it is asked, by arm, with 95 % intervals over seeds and items; dotted: chance. "
        "“In context” is the untrained model with the facts before the question."
    )
    return Figure("Told one way, asked the other", caption, drawing.bars(panels, colours))


def notes(found: Mapping[str, ControlledComparison], wanted: StudyOptions) -> tuple[str, ...]:
    said = [
        f"Every arm: {steps(wanted)} updates of 16 rows (compare.match: rows), so that arms with longer texts train on "
        f"more target tokens, or with shorter ones on fewer; {MATCHED} trains on as many as plain fine-tuning, in as "
        "many updates as that takes. Full-text loss, "
        f"{len(wanted.seeds)} seeds ({FEW} of the arms for comparison), model {wanted.model}; what "
        "an arm adds is written by the untrained model itself, filtered by " + ", ".join(CLEAN) + ".",
        f"Worlds: draw {DRAW}; steps, rates, operations and filters were chosen on draw 0.",
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
    if "public" not in found:
        said.append("The public reversal-curse files were not given; --set data=FOLDER adds them.")
    return tuple(said)
