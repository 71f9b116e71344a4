"""The synthesis: one arm that combines what the three lines of work are good for, against every single method.

    facts and what the model infers from them     so that it generalises          (augmented fine-tuning)
    some behind facts about others                so that it resists lures        (contexts that contrast)
    some behind edited facts, asked of these      so that it still listens        (edited contexts)
    general text beside all                       so that it keeps what it knew   (replay)
    weights a tenth of the way back               for the last two                (WiSE-FT)

Five measures, each in [0, 1]: learn, generalise, listen, resist, retain. Listening and resisting are means over five
forms each, of which no arm trains three (worlds/measures.py); each form has a figure of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from contextune.core.options import LARGEST_SEED, Options
from contextune.core.progress import Reporter
from contextune.evaluate.analysis.statistics import Estimate

from . import figures as drawing
from . import presets
from .claims import Claim, Figure, Study, StudyOptions, register
from .comparison import Comparison, compare
from .judging import Judgement, above, at_least, claim, not_worse, together

MEASURES = ("learn", "generalise", "listen", "resist", "retain")
TARGET = 0.95
LEARNING = {"policy": "prompts", "set": "learning"}
OPERATIONS = {
    "operations": ["restate", "rephrase", "reversal"],
    "filters": ["malformed", "unsupported_entities", "self_consistency", "duplicate"],
}
REPLAYED = {"replay": {"data": "general"}}
SHOWN = {
    "k": 4,
    "min_k": 1,
    "max_random_similarity": None,
    "similarity": {"kind": "overlap"},
    "separator": " ",
    "ending": "\n",
}
"""How facts stand in a context: one to four on a line."""
LURES = {"policy": "distractors", "share": 0.7, **SHOWN}
EDITED = {"policy": "counterfactual", "share": 1.0, **SHOWN}
MIXED = {
    "policy": "mixture",
    "policies": [{"policy": "none"}, LURES, EDITED],
    "weights": [0.35, 0.3, 0.35],
}
BACK = {"train": {"weight_interpolation": 0.9}}
"""A tenth of the way back to the weights it began with."""
ARMS: dict[str, dict[str, Any]] = {
    "finetuned": {"about": "the facts alone"},
    "replay": {
        "about": "the facts and general text",
        "augment": {"mix": {"shares": {"original": 0.7, "replay": 0.3}, **REPLAYED}},
    },
    "cft": {"about": "a learning prompt before each fact", "context": LEARNING},
    "augmented": {"about": "and what the model infers from them", "augment": OPERATIONS},
    "contrastive": {"about": "the facts behind contrastive contexts", "context": {"policy": "contrastive", **SHOWN}},
    "edited": {"about": "the facts, and edited facts that only the context tells", "context": {**EDITED, "share": 0.4}},
    "contextune": {
        "about": "inferred texts, distractors, counterfactual contexts, replay, a tenth of the way back",
        "augment": {
            **OPERATIONS, "mix": {"shares": {"original": 0.45, "augmented": 0.25, "replay": 0.3}, **REPLAYED}
        },
        "context": MIXED,
        **BACK,
    },
}  # fmt: skip
FORMS: dict[str, tuple[str, ...]] = {
    "listen": ("listen_fresh", "listen_edited", "listen_document", "listen_opening", "listen_check"),
    "resist": ("resist_lure", "resist_common", "resist_near", "resist_subject", "resist_story"),
}
"""The tasks of the two measures, those whose form some arm trains first."""
OTHERS = ("forward", "forward_written", "reversal", "reversal_written", "retain_skills")
WORLDS = ("reversals",)
STEPS = 500
"""Updates an arm."""
BATCH = 16
DRAW = 1
"""Which draw of the worlds is judged: the recipe was found on draw 0, whose names and facts are others."""


class Setup(Options):
    """What differs by model: here, that of the pocket model."""

    worlds: tuple[str, ...] = WORLDS
    sizes: dict[str, int] = Field({})
    """Of the worlds at scale tiny, in the place of those of their size "small"."""
    general: dict[str, Any] = Field({"world": "general", "split": "train"})
    """The source of what is replayed."""
    arms: dict[str, dict[str, Any]] = Field(ARMS)
    forms: dict[str, tuple[str, ...]] = Field(FORMS)
    others: tuple[str, ...] = OTHERS
    more: list[dict[str, Any]] = Field([])
    """Tasks beside those of the world."""
    beside_untrained: bool = False
    """Whether listening, resisting and retaining are held against the untrained model, not against a fixed target."""
    steps: int = STEPS
    draw: int = DRAW
    found: str = "settings were found on draw 0."
    """How all this was found."""
    train: dict[str, Any] = Field({"lr": 2.5e-3})


@register("synthesis")
def synthesis(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm), draw (of the world), preset."""
    wanted.only("synthesis", "steps", "draw", "preset")
    made = setup(wanted)
    found = {w: compare(recipe(w, wanted), wanted.out / w, reporter) for w in made.worlds}
    return Study(
        "synthesis",
        "Learn, generalise, listen, resist, retain: at once?",
        "Contextune: the three lines of work in one recipe",
        tuple(claims(found, len(wanted.seeds), made)),
        tuple(figures(found, made)),
        notes(wanted),
        tuple(c.folder.name for c in found.values()),
    )


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("synthesis", wanted, Setup())
    draw = wanted.whole("draw", made.draw, 0, LARGEST_SEED)
    return made.model_copy(update={"steps": wanted.whole("steps", made.steps), "draw": draw})


def recipe(world: str, wanted: StudyOptions) -> dict[str, Any]:
    made = setup(wanted)
    options = {
        "size": "paper" if wanted.scale == "paper" else "small",
        "seed": made.draw,
        **(made.sizes if wanted.scale == "tiny" else {}),
    }
    source = {"world": world, "options": options}
    tasks = [*made.others, *(task for forms in made.forms.values() for task in forms)]
    return {
        "name": f"synthesis-{world}",
        "model": wanted.model,
        "data": {"facts": {**source, "split": "train"}, "general": {"options": options, **made.general}},
        "arms": {"none": {"about": "the model as it is"}, **{a: {"data": "facts", **s} for a, s in made.arms.items()}},
        "seeds": list(wanted.seeds),
        "train": {"steps": made.steps, "batch": BATCH, "weight_decay": 0.0, "max_length": 256, **made.train},
        "evaluate": {"tasks": [{**source, "tasks": tasks}, *made.more], "samples": 0},
        "compare": {"baseline": "finetuned"},
    }


def claims(found: Mapping[str, Comparison], seeds: int, setup: Setup | None = None) -> list[Claim]:
    """The first world's measures under their plain names, the others' behind the world's."""
    made, by = list[Claim](), setup or Setup()
    for place, (world, c) in enumerate(found.items()):
        prefix = "" if place == 0 else f"{world}."
        for arm in ("none", *by.arms):
            made += [_measure(c, prefix, arm, m, seeds) for m in MEASURES]
            made += [_form(c, prefix, arm, form, seeds) for forms in by.forms.values() for form in forms]
        made += _beside_untrained(c, prefix, seeds) if by.beside_untrained else [_least(c, prefix, seeds)]
    return made


def _least(c: Comparison, prefix: str, seeds: int) -> Claim:
    reached = {m: c.of("contextune", f"measure:{m}") for m in MEASURES[:4]}
    least = min(reached.values(), key=lambda e: e.value)
    judged = together({m: at_least(e, TARGET) for m, e in reached.items()})
    wanted = "contextune: learn, generalise, listen and resist at 0.95 or more at once"
    return claim(f"{prefix}contextune.least", wanted, least, seeds, judged, "ours")


LEARNED = 0.9
WORSE = {"listen": 0.05, "resist": 0.05, "retain": 0.02}
"""How far below the untrained model contextune may be."""


def _beside_untrained(c: Comparison, prefix: str, seeds: int) -> list[Claim]:
    """What the project expects of a real model."""

    def of(arm: str, measure: str) -> Estimate:
        return c.of(arm, f"measure:{measure}")

    def one(id: str, told: str, e: Estimate, judged: Judgement) -> Claim:
        return claim(f"{prefix}{id}", told, e, seeds, judged, "ours")

    plain, turned = of("finetuned", "generalise"), of("augmented", "generalise")
    heard, before = of("finetuned", "listen"), of("none", "listen")
    made = [
        one("finetuned.learns", "plain fine-tuning learns the facts", of("finetuned", "learn"),
            at_least(of("finetuned", "learn"), LEARNED)),
        one("finetuned.hears_less", "plain fine-tuning listens less than the untrained model", heard - before,
            above(before, heard)),
        one("augmented.over_plain", "augmented fine-tuning generalises more than plain", turned - plain,
            above(turned, plain)),
    ]  # fmt: skip
    for m in ("learn", "generalise"):
        e = of("contextune", m)
        made.append(one(f"contextune.{m}_reached", f"contextune: {m} at {LEARNED} or more", e, at_least(e, LEARNED)))
    for m, margin in WORSE.items():
        ours, theirs = of("contextune", m), of("none", m)
        told = f"contextune: {m} not below the untrained model by more than {margin}"
        made.append(one(f"contextune.{m}_kept", told, ours - theirs, not_worse(ours, theirs, margin)))
    return made


def _measure(c: Comparison, prefix: str, arm: str, measure: str, seeds: int) -> Claim:
    return claim(f"{prefix}{arm}.{measure}", "", c.of(arm, f"measure:{measure}"), seeds, whose="ours")


def _form(c: Comparison, prefix: str, arm: str, form: str, seeds: int) -> Claim:
    return claim(f"{prefix}{arm}.{form}", "", c.of(arm, form), seeds, whose="ours")


def figures(found: Mapping[str, Comparison], by: Setup) -> list[Figure]:
    arms = ["none", *by.arms]
    colours = drawing.palette(arms, ("none",))
    about = "Each measure by arm, with 95 % intervals over seeds and items; dotted: the target."
    made = []
    for world, c in found.items():
        measures = [(m, {a: c.value(a, f"measure:{m}") for a in arms}, TARGET) for m in MEASURES]
        made.append(Figure(f"Five measures: {world}", about, drawing.bars(measures, colours)))
        for measure, forms in by.forms.items():
            bars = [(f.removeprefix(f"{measure}_"), {a: c.value(a, f) for a in arms}, None) for f in forms]
            title = f"{measure.capitalize()}, form by form: {world}"
            made.append(Figure(title, "Which forms some arm trains is in the notes.", drawing.bars(bars, colours)))
    return made


def notes(wanted: StudyOptions) -> tuple[str, ...]:
    made = setup(wanted)
    every = (
        f"Every arm: {made.steps} updates of {BATCH} rows, {len(wanted.seeds)} seeds, model {wanted.model}. Inferred "
        f"texts are the untrained model's own. Judged on draw {made.draw}; {made.found}"
    )
    if presets.name_of(wanted) != presets.POCKET:
        forms = "; ".join(f"{m}: {', '.join(of)}" for m, of in made.forms.items())
        return (every, f"Forms: {forms} (contextune worlds says which a training text has).")
    return (
        every,
        "The mixture, its shares and the learning rate were found on another draw of the world (other names, other "
        "facts, other items), with one or two seeds.",
        "The way back is part of `contextune`; alone it was worth little (an arm of an earlier study).",
        "listen: fresh facts, and trained facts edited, stand in the context and decide. The forms fresh and edited "
        "are trained by counterfactual contexts; document (a long text, another wording), opening (the other side, "
        "four ways to go on; chance 0.25) and check (yes or no; chance 0.5) by no arm.",
        "resist: what stands in the context must not matter; of the items right without it, the share right with it, 0 "
        "where none was. lure is trained by distractors, common by replay; near (names that begin alike), subject "
        "(other facts about the very thing) and story (a long text) by no arm.",
        "retain: the language's operations on fresh names. General text is more of what the pocket model was "
        "pretrained on, about names that no test knows; half of the common facts are replayed, the other half asked.",
    )
