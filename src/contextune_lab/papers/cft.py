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
from .cft_recipe import (
    ABOUT,
    BATCH,
    JUDGED,
    Setup,
    documents,
    longest_of,
    pairs_steps,
    rates_of,
    recipe,
    search_recipe,
    setup,
)
from .cft_search import Setting
from .claims import Figure, Study, StudyOptions, register
from .comparison import compare
from .curves import pace

MEAN = "measure:task"
"""The mean of all tests that are read from files."""
READ = {MEAN: "tests, mean"}


@register("cft")
def cft(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates of the longest document stage), generated (true adds prompts the model
    writes), draw (of the tests, where the preset reads files), data (their folder), preset.
    """
    wanted.only("cft", "steps", "generated", "draw", "data", "preset")
    arms, made, rates = documents(wanted), setup(wanted), rates_of(wanted)
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


def _tests(asked: Mapping[str, Any]) -> dict[str, str]:
    return READ | {task: f"{task}, nats a token" if task.startswith("perplexity") else task for task in asked}


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
    made, longest, count = setup(wanted), longest_of(wanted), len(search.seeds(wanted.seeds))
    if made.files or m.curves is None:
        return _notes_of_files(made, wanted)
    apart = m.curves.apart
    own = "; ".join(f"{a} {s.rate:g}, {s.steps} updates" for a, s in m.settings.items())
    paces = "; ".join(f"{ABOUT[a]}: {pace(apart(a, 'cpt'))}" for a in m.settings if a not in ("cpt", "reading"))
    return (
        f"Documents: updates of {BATCH}, at most {longest}; pairs: {pairs_steps(wanted)} updates; {len(wanted.seeds)} "
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
        f"{made.found} Asked is draw {made.judged} of the tests.",
        "A test is asked by the likelihood of its options, without examples; perplexity is that of held-out documents.",
        "The paper trains 7 B to 13 B parameters on far more text; its differences are one to five points, and the "
        "intervals here are wider.",
    )
