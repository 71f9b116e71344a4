"""Contrastive contexts (Malu et al. 2026, arXiv 2604.01601) on a world that the weights cannot learn in full.

Every strategy trains on the same pairs for the same number of updates; only what precedes the input differs. In the
world (`slots` with several orders a template) two of five answers differ from what the weights can know, and only an
example near by tells: trust in a context keeps paying, however long a model is trained. What decides is listening: a
command that was never trained and is shown once (`fresh`), and an order that contradicts the weights (`icl`, the
in-context score). Both are asked at three lengths of one run at a constant rate, whose state after n updates is that of
a run of n updates.

The paper's figures could not be read, so its claims are tested in the form of the acceptance tests of our own
formalisation, with margins stated before (judging.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from contextune.core.options import LARGEST_SEED
from contextune.core.progress import Reporter
from contextune.worlds.slots import SIZES

from . import figures as drawing
from .claims import Figure, Study, StudyOptions, register
from .comparison import Comparison, compare
from .contrastive_claims import CONTROLS, GRADES, MAIN, SETTINGS, MeasuredArms, claims
from .probe_scores import Probed, probed

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


@register("contrastive")
def contrastive(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm), ablations (false: no controls either), world (its seed)."""
    wanted.only("contrastive", "steps", "ablations", "world")
    extra = wanted.flag("ablations", True)
    several, few = wanted.seeds[:SEVERAL], wanted.seeds[:FEW]

    def run(name: str, arms: Mapping[str, Any], seeds: tuple[int, ...], looks: int = 1) -> Comparison:
        return compare(recipe(name, arms, wanted, seeds, looks), wanted.out / name, reporter)

    strategies = run("strategies", {"base": None, **{a: _context(a) for a in MAIN}}, wanted.seeds, LENGTHS)
    changed = {name: options for name, options in SETTINGS.items() if options}
    settings = run("settings", {name: _context("contrastive", **o) for name, o in changed.items()}, several)
    probes = probed(strategies.folder, "slots", MAIN, wanted.seeds)
    paired = probed(strategies.folder, "slots", MAIN, several) | probed(settings.folder, "slots", changed, several)
    controls = ablations = None
    if extra:
        controls = run("controls", {a: _context(a) for a in CONTROLS}, few)
        ablations = run("ablations", {a: _context("contrastive", **o) for a, o in ABLATIONS.items()}, few)
        probes |= probed(controls.folder, "slots", CONTROLS, few)
        probes |= probed(ablations.folder, "slots", ABLATIONS, few)
    seeds = dict.fromkeys(MAIN, len(wanted.seeds)) | dict.fromkeys((*CONTROLS, *ABLATIONS), len(few))
    found = MeasuredArms(strategies, probes, paired, seeds, len(several))
    return Study(
        "contrastive",
        "In-context training with contrastive contexts",
        "Malu, Malu, Nemiwal, Sarawagi 2026, arXiv 2604.01601",
        tuple(claims(found)),
        tuple(figures(found)),
        notes(wanted),
        tuple(c.folder.name for c in (strategies, settings, controls, ablations) if c is not None),
    )


def _context(policy: str, **options: Any) -> dict[str, Any]:
    if policy == "zero":
        return {"policy": "none"}
    return {"policy": policy, "similarity": {"kind": "overlap"}, **options}


def world(wanted: StudyOptions) -> dict[str, Any]:
    """Options of the world; of size "paper" it has more templates and items."""
    seed = wanted.whole("world", JUDGED, 0, LARGEST_SEED)
    return {**WORLD, "seed": seed, "size": "paper" if wanted.scale == "paper" else "small"}


def steps(wanted: StudyOptions) -> int:
    return wanted.whole("steps", STEPS)


def recipe(
    name: str, arms: Mapping[str, Any], wanted: StudyOptions, seeds: tuple[int, ...], looks: int = 1
) -> dict[str, Any]:
    """Probes ask the untrained model and `looks` times after; only strategies are asked the grades."""
    source = {"world": "slots", "options": world(wanted)}
    probing = {"every": max(1, steps(wanted) // looks), "items": ITEMS}
    tasks = [*(GRADES if "zero" in arms else ()), *DECIDING]
    return {
        "name": f"contrastive-{name}",
        "model": wanted.model,
        "data": {"pairs": {**source, "split": "train"}},
        "arms": {
            arm: {"about": ABOUT.get(arm, ""), **({"data": ["pairs"], "context": context} if context else {})}
            for arm, context in arms.items()
        },
        "seeds": list(seeds),
        "train": {
            "steps": steps(wanted), "batch": BATCH, "lr": 2e-3 if wanted.model == "pocket" else 2e-4,
            "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0, "max_length": 512,
        },
        "evaluate": {
            "tasks": [{**source, "tasks": tasks, "limit": ITEMS}], "samples": 0, "callbacks": {"probes": probing},
        },
        "compare": {"baseline": "zero" if "zero" in arms else next(iter(arms)), "tasks": list(DECIDING)},
    }  # fmt: skip


# ---------------------------------------------------------------------------------- what is shown


SHOWN = {
    "a new command, shown once": "fresh",
    "in-context": "in_context",
    "in-weights": "in_weights",
    "copy": "copy",
}


def figures(f: MeasuredArms) -> list[Figure]:
    colours = drawing.palette(["base", *MAIN], ("base",))
    grades = {a: [_point(f.strategies, a, g, x) for x, g in enumerate(GRADES)] for a in ("base", *MAIN)}
    made = [
        Figure(
            "Who still listens",
            "Fresh: a command that was never trained, shown by one example. In-context score: a trained command is "
            "shown in an order that it never had. In-weights score: right with random examples. Copy score: how much "
            "nearer (chrF) the answer is to one of the examples', which all are random, than the right one is.",
            drawing.lines(
                [(title, {a: f.probes[a].curve(key) for a in MAIN}) for title, key in SHOWN.items()],
                colours, "update", "score",
            ),
        ),
        Figure("How often a near example is shown", SETTING, _bars(f.paired, (*STRATEGIES_SHOWN, *SETTINGS))),
        Figure(
            "Along the axis of similarity",
            "Share right when the nearest example in the test context is less than a third (low), up to two thirds "
            "(medium) or more (high) similar to the question; 95 % bands over seeds and items. Only the example of "
            "grade high decides: at the others the usual order is right.",
            drawing.lines([("slots", grades)], colours, "nearest example: low, medium, high", "share right",
                          limits=(-0.03, 1.03)),
        ),
    ]  # fmt: skip
    if len(f.probes) > len(MAIN):
        made.append(Figure("Controls and ablations", CONTROLLED, _bars(f.probes, f.probes)))
    return made


STRATEGIES_SHOWN = ("zero", "random", "similar")
SETTING = (
    "After training, three seeds each: contrastive contexts in reading A or B with p of .5, .75 or .9 (eps .1), with "
    "eps .5, and with loss on all answers; above them zero, random and similar contexts of the same seeds."
)
CONTROLLED = (
    "After training. Above the strategies, below controls and contrastive contexts with one thing changed (one seed)."
)


def _bars(probes: Mapping[str, Probed], arms: Iterable[str]) -> str:
    names = list(arms)
    bars = [(title, {a: _bar(probes[a], key) for a in names}, None) for title, key in SHOWN.items() if key != "copy"]
    return drawing.bars(bars, drawing.palette(names))


def _bar(probed: Probed, score: str) -> drawing.BarValue:
    e = probed.at(score)
    interval = e.interval(0.95)
    return e.value, None if interval is None else (interval[0], interval[1])


def _point(c: Comparison, arm: str, task: str, x: int) -> tuple[float, float, float, float]:
    value, interval = c.value(arm, task)
    low, high = interval or (value, value)
    return float(x), value, low, high


def notes(wanted: StudyOptions) -> tuple[str, ...]:
    n, made = steps(wanted), world(wanted)
    seed, once = made["seed"], SIZES[made["size"]]["templates"] * made["groups"] * made["examples"] // BATCH
    return (
        f"Every arm: {n} updates of {BATCH} rows at a constant rate, loss on the answer only, model {wanted.model}; "
        f"{len(wanted.seeds)} seeds, {SEVERAL} for settings (p, reading, eps, loss), {FEW} for controls and ablations; "
        "four examples a context; exact word overlap as similarity.",
        "Probes look at the untrained model and after each third of the updates: three lengths of training. At a "
        "constant rate without warm-up the first third is what a run of that length would have been.",
        "The world slots with three orders a template: the usual one for three of five owners (the first value of a "
        "command), two others for the rest. An example with the same template and owner decides; what a new owner's is "
        f"cannot be known from the weights. No pair is trained on twice before update {once}. The nearest example of a "
        "pair is always of grade high, so that no grade can be left out of training.",
        f"Everything was developed on the world of seed {DEVELOPED}; that of seed {seed} is shown"
        + (", which no development used." if seed == JUDGED else "."),
        "Primary are fresh and the in-context score, which the weights alone answer with nothing. The mean of the "
        "grades is secondary: at low and medium the usual order is right, which random contexts teach as well.",
        "Paraphrases are made by the world's grammar: one slot replaced in the input and in the answer; no other "
        "paraphraser was used.",
        "No numbers of the paper could be read; each claim is its abstract's or a figure caption's, tested as stated.",
    )
