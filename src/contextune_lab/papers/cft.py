"""Contextual fine-tuning on text (Choi et al. 2025, arXiv 2503.09032), with controls, on a world of study texts.

All arms read the same documents, token for token; the questions ask about them without them. Each arm is judged at
its own best rate and length, chosen with the same search on another draw of the world (cft_search.py), and all along
its learning curve. Each question is asked alone and after a learning prompt, since what was learned behind a prompt
may wait for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from contextune.core.errors import UserError
from contextune.core.options import LARGEST_SEED, Options
from contextune.core.progress import Reporter

from . import cft_search as search
from . import curves, presets
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
    train: dict[str, Any] = Field({})


MEAN = "measure:task"
"""The mean of all tests that are read from files."""
READ = {MEAN: "tests, mean"}


@register("cft")
def cft(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates of the longest document stage), generated (true adds prompts the model
    writes), draw (of the tests, where the preset reads files), data (their folder), preset.
    """
    wanted.only("cft", "steps", "generated", "draw", "data", "preset")
    arms, made, rates = documents(wanted), setup(wanted), _rates(wanted)
    seeds, tried = search.seeds(wanted.seeds), [search.name_of(a, i) for a in arms for i in range(len(rates))]
    before, folders = None, list[str]()
    if made.fixed is None:
        searched = compare(search_recipe(wanted), wanted.out / "search", reporter)
        before = curves.read(searched.folder, TEST, tried, seeds)
        settings = search.chosen(before, list(arms), rates)
        folders.append(searched.folder.name)
        for arm, s in settings.items():
            reporter.say(f"{arm}: {s.rate:g}, {s.steps} updates (of draw {search.DRAW} {s.right:.3f} right)")
    else:
        settings = dict.fromkeys(arms, Setting(made.fixed, made.longest, 0.0))
    found = compare(recipe(wanted, settings), wanted.out / "study", reporter)
    if "reading" in found.results["arms"]:
        settings["reading"] = settings["cpt"]
    if before is None:
        judged = MeasuredCft(found, None, settings, ABOUT, MEAN, _tests(found.results["tasks"]), {}, False)
    else:
        read = curves.read(found.folder, TEST, list(settings), wanted.seeds)
        judged = MeasuredCft(found, read, settings, ABOUT)
    return Study(
        "cft",
        "Contextual fine-tuning on text",
        "Choi, Asif, Han, Willes, Krishnan 2025, arXiv 2503.09032",
        tuple(claims(judged, len(wanted.seeds))),
        tuple(figures(judged, before, list(arms), rates)),
        notes(judged, wanted, rates),
        (*folders, found.folder.name),
    )


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("cft", wanted, Setup())
    own = {
        "longest": wanted.whole("steps", made.longest),
        "writes": wanted.flag("generated", made.writes),
        "judged": wanted.whole("draw", made.judged, 0, LARGEST_SEED),
    }
    return made.model_copy(update=own)


def _tests(asked: Mapping[str, Any]) -> dict[str, str]:
    return READ | {task: f"{task}, nats a token" if task.startswith("perplexity") else task for task in asked}


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
        "arms": search.arms(documents(wanted), _rates(wanted)),
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
    pairs = {"data": "questions", "train": {"steps": _pairs(wanted), **made.pairs}}
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
        "train": {"steps": _longest(wanted), "batch": BATCH, "weight_decay": 0.0, "max_length": 256, **CONSTANT,
                  **setup(wanted).train},
    }  # fmt: skip


def _recipe_of_files(files: Files, wanted: StudyOptions, made: Setup) -> dict[str, Any]:
    """The comparison on documents and tests of one's own: all document arms at one rate and length."""
    folder = wanted.folder("data")
    if folder is None:
        raise UserError(f"this preset reads {files.what}, and no folder is given", "--set data=FOLDER")
    common = _common(wanted, {})
    tasks = [
        {**task, "path": _within(folder, task["path"]), "skip": made.judged * task["limit"]} for task in files.tasks
    ]
    return {
        **common,
        "name": "cft-study",
        "data": {"texts": {**files.texts, "path": _within(folder, files.texts["path"])}},
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
    return {"curve": {"every": search.looks(_longest(wanted)), "tasks": [TEST]}}


def _longest(wanted: StudyOptions) -> int:
    return setup(wanted).longest


def _pairs(wanted: StudyOptions) -> int:
    return max(1, _longest(wanted) * PAIRS // LONGEST)


def _rates(wanted: StudyOptions) -> tuple[float, ...]:
    return setup(wanted).rates


def _writes(wanted: StudyOptions) -> bool:
    return setup(wanted).writes


# --------------------------------------------------------------------------------- what is shown


def figures(m: MeasuredCft, before: curves.Curves | None, arms: list[str], rates: tuple[float, ...]) -> list[Figure]:
    c, every = m.run, list(m.run.results["arms"])
    colours = drawing.palette(every, ("none",))
    if m.curves is None or before is None:
        shown = [(title, {a: m.run.value(a, t) for a in every}, None) for t, title in m.tests.items()]
        return [Figure("What was read", "Each test by arm, with 95 % intervals.", drawing.bars(shown, colours))]
    curve = m.curves
    chance = {"chance": c.chance(TEST) or 0.0}
    lengths = {a: curve.points(a) for a in m.settings}
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
    made, longest, count = setup(wanted), _longest(wanted), len(search.seeds(wanted.seeds))
    if made.files or m.curves is None:
        return _notes_of_files(made, wanted)
    apart = m.curves.apart
    own = "; ".join(f"{a} {s.rate:g}, {s.steps} updates" for a, s in m.settings.items())
    paces = "; ".join(f"{ABOUT[a]}: {pace(apart(a, 'cpt'))}" for a in m.settings if a not in ("cpt", "reading"))
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


def _notes_of_files(made: Setup, wanted: StudyOptions) -> tuple[str, ...]:
    what = made.files.what if made.files else "a world"
    return (
        f"{what}. Every arm: {made.longest} updates of {BATCH} documents at {made.fixed:g}, constant and without "
        f"warm-up; {len(wanted.seeds)} seeds, model {wanted.model}. The same chunks in all arms, token for token.",
        f"The rate was found with the documents alone on draw 0 of the tests; asked is draw {made.judged}: other "
        "items.",
        "A test is asked by the likelihood of its options, without examples; perplexity is that of held-out documents.",
        "The paper trains 7 B to 13 B parameters on far more text; its differences are one to five points, and the "
        "intervals here are wider.",
    )
