"""Contextual fine-tuning on text (Choi et al. 2025, arXiv 2503.09032), with controls, on a world of study texts.

All arms read the same documents, token for token; the questions ask about them without them. Each arm is judged at
its own best rate and length, chosen with the same search on another draw of the world (cft_search.py), and all along
its learning curve. Each question is asked alone and after a learning prompt, since what was learned behind a prompt
may wait for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextune.core.progress import Reporter

from . import cft_search as search
from . import curves
from . import figures as drawing
from .cft_claims import ON, PRICE, TEST, TESTS, MeasuredCft, claims
from .cft_search import CONSTANT, LONGEST, Setting
from .claims import Figure, Study, StudyOptions, register
from .comparison import compare
from .curves import pace

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


@register("cft")
def cft(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates of the longest document stage), generated (true adds prompts the model
    writes).
    """
    wanted.only("cft", "steps", "generated")
    arms, rates = documents(wanted), _rates(wanted)
    seeds, tried = search.seeds(wanted.seeds), [search.name_of(a, i) for a in arms for i in range(len(rates))]
    searched = compare(search_recipe(wanted), wanted.out / "search", reporter)
    before = curves.read(searched.folder, TEST, tried, seeds)
    settings = search.chosen(before, list(arms), rates)
    for arm, s in settings.items():
        reporter.say(f"{arm}: {s.rate:g}, {s.steps} updates (of draw {search.DRAW} {s.right:.3f} right)")
    found = compare(recipe(wanted, settings), wanted.out / "study", reporter)
    settings["reading"] = settings["cpt"]
    judged = MeasuredCft(found, curves.read(found.folder, TEST, list(settings), wanted.seeds), settings, ABOUT)
    return Study(
        "cft",
        "Contextual fine-tuning on text",
        "Choi, Asif, Han, Willes, Krishnan 2025, arXiv 2503.09032",
        tuple(claims(judged, len(wanted.seeds))),
        tuple(figures(judged, before, list(arms), rates)),
        notes(judged, wanted, rates),
        (searched.folder.name, found.folder.name),
    )


def documents(wanted: StudyOptions) -> dict[str, dict[str, Any]]:
    """Arms whose settings are searched for: one stage over the documents, which differs in what precedes them."""
    contexts = {**CONTEXTS, **({"generated": {"policy": "generated"}} if _writes(wanted) else {})}
    arms: dict[str, dict[str, Any]] = {"cpt": {"about": ABOUT["cpt"], "data": "texts"}}
    return arms | {a: {"about": ABOUT[a], "data": "texts", "context": c} for a, c in contexts.items()}


def search_recipe(wanted: StudyOptions) -> dict[str, Any]:
    """Every document arm at every rate, on the draw that is not judged; asked on the way and nothing else."""
    world = _world(wanted, search.DRAW)
    return {
        **_common(wanted, world),
        "name": "cft-search",
        "arms": search.arms(documents(wanted), _rates(wanted)),
        "seeds": list(search.seeds(wanted.seeds)),
        "evaluate": {"tasks": [{**world, "tasks": [TEST]}], "samples": 0, "callbacks": _watched(wanted)},
        "compare": {"baseline": search.name_of("cpt", 0)},
    }


def recipe(wanted: StudyOptions, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The judged comparison. Document stages train for the longest length at their own rate and are asked on the way;
    those before an instruction stage end at their own length.
    """
    world, pocket = _world(wanted, JUDGED), _pocket(wanted)
    pairs = {"data": "questions", "train": {"steps": _pairs(wanted), "lr": 1e-3 if pocket else 2e-5,
                                            "schedule": "cosine", "warmup": 0.05}}  # fmt: skip
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
        "arms": arms,
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
        "train": {"steps": _longest(wanted), "batch": BATCH, "weight_decay": 0.0, "max_length": 256, **CONSTANT},
    }


def _world(wanted: StudyOptions, draw: int) -> dict[str, Any]:
    size = {"size": "paper"} if wanted.scale == "paper" else SMALL
    return {"world": "study", "options": {**size, "seed": draw}}


def _watched(wanted: StudyOptions) -> dict[str, Any]:
    return {"curve": {"every": search.looks(_longest(wanted)), "tasks": [TEST]}}


def _longest(wanted: StudyOptions) -> int:
    return wanted.whole("steps", LONGEST)


def _pairs(wanted: StudyOptions) -> int:
    return max(1, _longest(wanted) * PAIRS // LONGEST)


def _rates(wanted: StudyOptions) -> tuple[float, ...]:
    return search.POCKET_RATES if _pocket(wanted) else search.RATES


def _pocket(wanted: StudyOptions) -> bool:
    return wanted.model == "pocket"


def _writes(wanted: StudyOptions) -> bool:
    """The pocket model cannot write a prompt; others are asked to."""
    return wanted.flag("generated", not _pocket(wanted))


# --------------------------------------------------------------------------------- what is shown


def figures(m: MeasuredCft, before: curves.Curves, arms: list[str], rates: tuple[float, ...]) -> list[Figure]:
    c, every = m.run, list(m.run.results["arms"])
    colours = drawing.palette(every, ("none",))
    chance = {"chance": c.chance(TEST) or 0.0}
    lengths = {a: m.curves.points(a) for a in m.settings}
    tried = [(a, {f"{rate:g}": before.points(search.name_of(a, i)) for i, rate in enumerate(rates)}) for a in arms]
    own = (TESTS[TEST], {a: m.value(a) for a in every}, c.chance(TEST))
    off = [
        (title, {a: c.value(a, test) for a in every}, c.chance(test)) for test, title in TESTS.items() if test != TEST
    ]
    on = ("asked after a prompt, four answers", {a: c.value(a, f"{TEST}.{ON}") for a in every}, c.chance(TEST))
    five = [(p, {a: c.value(a, f"measure:{p}") for a in every}, None) for p in PRICE.values()]
    shades = drawing.palette([f"{rate:g}" for rate in rates])
    return [
        Figure(
            "Learning curves",
            "Share of questions answered right by updates over the documents, each arm at its own best rate, on the "
            "draw that is judged; bands at 95 %.",
            drawing.lines([(TESTS[TEST], lengths)], colours, "updates", "share right", chance, (0, 1)),
        ),
        Figure(
            "The search",
            f"The same on draw {search.DRAW}, where settings were chosen: an arm a plate, a rate a line.",
            drawing.lines(tried, shades, "updates", "share right", chance, (0, 1)),
        ),
        Figure(
            "What was read",
            "Share of key points answered right without the document, by arm, with 95 % intervals; dotted: chance. The "
            "first plate: each arm at its own best rate and length; the others: after the longest training.",
            drawing.bars([own, on, *off], colours),
        ),
        Figure(
            "At what price",
            "What is left of using a context, of not being led astray, and of older skills, after the longest "
            "training.",
            drawing.bars(five, colours),
        ),
    ]


def notes(m: MeasuredCft, wanted: StudyOptions, rates: tuple[float, ...]) -> tuple[str, ...]:
    longest, count = _longest(wanted), len(search.seeds(wanted.seeds))
    own = "; ".join(f"{a} {s.rate:g}, {s.steps} updates" for a, s in m.settings.items())
    paces = "; ".join(
        f"{ABOUT[a]}: {pace(m.curves.apart(a, 'cpt'))}" for a in m.settings if a not in ("cpt", "reading")
    )
    return (
        f"Documents: updates of {BATCH}, at most {longest}; pairs: {_pairs(wanted)} updates; {len(wanted.seeds)} "
        f"seeds, model {wanted.model}. Target tokens of an update are the same in all document stages; `reading` adds "
        "texts.",
        f"Settings: every arm tried {len(rates)} rates ({', '.join(f'{r:g}' for r in rates)}) and every length up to "
        f"{longest} in steps of {search.looks(longest)} on draw {search.DRAW} of the world, {count} seeds each; its "
        f"best one is judged on draw {JUDGED}. Chosen: {own}. `reading` has the setting of cpt; an instruction stage "
        "follows a document stage of its own length.",
        "Rates are constant and without warm-up, so that a shorter training is the beginning of a longer one: a length "
        "is a checkpoint of one run.",
        f"Beside the documents alone, over the whole curve: {paces}.",
        "The learning prompts are ordinary English; the pocket model knows their words as noise before documents, not "
        "their sense: what is measured of their content is a lower bound.",
        "The paper's full text was not at hand; its figures are from its slides and project page. Its chat rows fit "
        "averages of two evaluations, and 1.85 points at 7 B is about one unpaired standard error.",
        "For the paper's own tables on real models: recipes cft_medical_7b and the others, one command each.",
    )
