"""Contextual fine-tuning on text (Choi et al. 2025, arXiv 2503.09032), with controls, on a world of study texts.

All arms read the same documents, token for token, for the same number of updates; the questions ask about them
without them. Each question is asked alone and after a learning prompt, since what was learned behind a prompt may
wait for one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contextune.core.errors import UserError
from contextune.core.progress import Reporter

from . import figures as drawing
from .claims import Claim, Figure, Study, StudyOptions, register
from .comparison import Comparison, compare
from .judging import above, claim

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
TEST = "closed_book"
"""What claims are decided by. Answers written freely stay near zero with the pocket model, whatever it reads."""
TESTS = {
    TEST: "asked, four answers",
    "recall_written": "as told, written",
    "reversal": "asked the other way",
    "closed_book_written": "asked, written",
}
SMALL = {"size": "small", "key_points": 2, "mentions": 4, "padding": 1, "probes": 24}
"""The pocket model's documents: two key points, each told four times in two wordings."""
PRICE = {"listen_text": "listen", "resist_common": "resist", "retain_skills": "retain"}
"""One task of each measure that learning may cost."""
STEPS = 100
ON = "prompted"
"""What the name of a task ends with that is asked after a learning prompt."""


@register("cft")
def cft(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates of the document stage), generated (true adds prompts the model writes)."""
    unknown = set(wanted.options) - {"steps", "generated"}
    if unknown:
        raise UserError(f"reproduce cft: unknown option '{min(unknown)}'", "steps, generated")
    found = compare(recipe(wanted), wanted.out / "study", reporter)
    return Study(
        "cft",
        "Contextual fine-tuning on text",
        "Choi, Asif, Han, Willes, Krishnan 2025, arXiv 2503.09032",
        tuple(claims(found, len(wanted.seeds))),
        tuple(figures(found)),
        notes(found, wanted),
        (found.folder.name,),
    )


def recipe(wanted: StudyOptions) -> dict[str, Any]:
    world = {"world": "study", "options": {"size": "paper"} if wanted.scale == "paper" else SMALL}
    steps = int(wanted.options.get("steps", STEPS))
    pairs = {"data": "questions", "train": {"steps": max(1, steps // 3), "lr": 1e-3 if _pocket(wanted) else 2e-5}}
    contexts = {**CONTEXTS, **({"generated": {"policy": "generated"}} if _writes(wanted) else {})}
    arms: dict[str, Any] = {"none": {"about": ABOUT["none"]}, "cpt": {"about": ABOUT["cpt"], "data": "texts"}}
    arms |= {a: {"about": ABOUT[a], "data": "texts", "context": c} for a, c in contexts.items()}
    arms["reading"] = {"about": ABOUT["reading"], "data": "texts", "augment": {"operations": ["reading"]}}
    arms["ift"] = {"about": ABOUT["ift"], "stages": [pairs]}
    arms["cpt_ift"] = {"about": ABOUT["cpt_ift"], "stages": [{"data": "texts"}, pairs]}
    arms["cft_ift"] = {"about": ABOUT["cft_ift"], "stages": [{"data": "texts", "context": LEARNING}, pairs]}
    alone = {**world, "tasks": [*TESTS, *PRICE]}
    asked = {**world, "tasks": [TEST], "before": LEARNING, "suffix": ON}
    return {
        "name": "cft-study",
        "model": wanted.model,
        "data": {"texts": {**world, "split": "train"}, "questions": {**world, "split": "questions"}},
        "arms": arms,
        "seeds": list(wanted.seeds),
        "train": {
            "steps": steps, "batch": 4, "lr": 3e-3 if _pocket(wanted) else 2e-5, "weight_decay": 0.0, "max_length": 256
        },
        "evaluate": {"tasks": [alone, asked], "samples": 0},
        "compare": {"baseline": "cpt", "tasks": [TEST]},
    }  # fmt: skip


def _pocket(wanted: StudyOptions) -> bool:
    return wanted.model == "pocket"


def _writes(wanted: StudyOptions) -> bool:
    """The pocket model cannot write a prompt; others are asked to."""
    return bool(wanted.options.get("generated", not _pocket(wanted)))


# ---------------------------------------------------------------------------------------- claims


def claims(c: Comparison, seeds: int) -> list[Claim]:
    made = []
    for test, title in TESTS.items():
        made += [claim(f"{test}.{a}", f"{title}: {ABOUT[a]}", c.of(a, test), seeds) for a in c.results["arms"]]
    return [*_paper(c, seeds), *_prompted(c, seeds), *made]


def _difference(
    id: str, paper: str, c: Comparison, arm: str, other: str, seeds: int, theirs: float | None = None
) -> Claim:
    """Not testable where the interval holds zero and the paper's own figure alike: then it tells nothing of either."""
    judged = above(c.of(arm, TEST), c.of(other, TEST))
    made = claim(id, paper, c.of(arm, TEST) - c.of(other, TEST), seeds, judged, "ours" if theirs is None else "paper")
    why = f"{arm} less {other} on {TEST}, {made.why}"
    if made.verdict == "not shown" and theirs is not None and made.interval and made.interval[1] >= theirs:
        return replace(
            made, verdict="not testable", why=f"{why} holds zero and the paper's figure alike", theirs=theirs
        )
    return replace(made, why=why, theirs=theirs)


def _paper(c: Comparison, seeds: int) -> list[Claim]:
    """Differences, in the paper's order; figures in brackets are its own, in points of accuracy."""
    pairs = [
        ("cft_over_cpt", "CFT over CPT (medical +1.85 at 7 B, +2.25 at 13 B; financial +4.32, +3.0)", "cft", "cpt",
         0.0185),
        ("cft_over_negative", "learning prompts over negative ones (+2.57 at 7 B, +1.36 at 13 B)", "cft", "negative",
         0.0257),
        ("cft_over_neutral", "the prompt's content counts: over a neutral prompt (not in the paper)", "cft", "neutral",
         None),
        ("cft_over_random", "the prompt's content counts: over random tokens (not in the paper)", "cft",
         "random_tokens", None),
        ("cft_over_reading", "CFT over reading-comprehension rewriting (+4.89 at 7 B)", "cft", "reading", 0.0489),
        ("cft_ift_over_cpt_ift", "with instruction tuning after it: CFT over CPT (+1.04 at 7 B base)", "cft_ift",
         "cpt_ift", 0.0104),
        ("cpt_ift_over_ift", "reading the documents helps at all", "cpt_ift", "ift", None),
    ]  # fmt: skip
    made = [_difference(id, paper, c, a, b, seeds, theirs) for id, paper, a, b, theirs in pairs]
    if "generated" in c.results["arms"]:
        paper = "prompts written for each text over fixed ones (-1.50 at 7 B chat)"
        return [*made, _difference("generated_over_cft", paper, c, "generated", "cft", seeds)]
    paper = "prompts written for each text over CPT (+0.35 at 7 B chat)"
    why = "the pocket model cannot write a prompt; give another with --model"
    return [
        *made,
        Claim("generated_over_cpt", paper, None, None, 0, "not testable", why),
        Claim(f"{TEST}.generated", f"{TESTS[TEST]}: {ABOUT['generated']}", None, None, 0, "not testable", why),
    ]


def _prompted(c: Comparison, seeds: int) -> list[Claim]:
    """Prompts on at test time: the paper does not say that they are; its synthetic study has them on."""
    on = f"{TEST}.{ON}"
    made = [claim(f"on.{a}", f"asked after a learning prompt: {ABOUT[a]}", c.of(a, on), seeds)
            for a in c.results["arms"]]  # fmt: skip
    return [claim("cft_waits_for_its_prompt", "what CFT learned is told better behind a prompt (not in the paper)",
                  c.of("cft", on) - c.of("cft", TEST), seeds,
                  above(c.of("cft", on), c.of("cft", TEST)), "ours"), *made]  # fmt: skip


# --------------------------------------------------------------------------------- what is shown


def figures(c: Comparison) -> list[Figure]:
    arms = list(c.results["arms"])
    colours = drawing.palette(arms, ("none",))
    off = [(title, {a: c.value(a, test) for a in arms}, c.chance(test)) for test, title in TESTS.items()]
    on = ("asked after a prompt, four answers", {a: c.value(a, f"{TEST}.{ON}") for a in arms}, c.chance(TEST))
    about = "Share of key points answered right without the document, by arm; 95 % intervals, dotted: chance."
    five = [(m, {a: c.value(a, f"measure:{m}") for a in arms}, None) for m in PRICE.values()]
    kept = "What is left of using a context, of not being led astray, and of older skills."
    return [
        Figure("What was read", about, drawing.bars([off[0], on, *off[1:]], colours)),
        Figure("At what price", kept, drawing.bars(five, colours)),
    ]


def notes(c: Comparison, wanted: StudyOptions) -> tuple[str, ...]:
    steps = int(wanted.options.get("steps", STEPS))
    return (
        f"Documents: {steps} updates of 4; pairs: {max(1, steps // 3)} updates; {len(wanted.seeds)} seeds, model "
        f"{wanted.model}. Target tokens are the same in all document stages; `reading` adds texts, the updates stay.",
        "Documents, updates and learning rate were chosen by what CPT alone learns above the untrained model: of nine "
        "settings, at two seeds, the one with most questions answered.",
        "The learning prompts are ordinary English; the pocket model knows their words as noise before documents, not "
        "their sense: what is measured of their content is a lower bound.",
        "The paper's full text was not at hand; its figures are from its slides and project page. Its chat rows fit "
        "averages of two evaluations, and 1.85 points at 7 B is about one unpaired standard error.",
        "For the paper's own tables on real models: recipes cft_medical_7b and the others, one command each.",
    )
