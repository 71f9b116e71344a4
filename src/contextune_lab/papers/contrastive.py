"""Contrastive contexts (Malu et al. 2026, arXiv 2604.01601) on a world that the weights cannot learn in full.

Every strategy trains on the same pairs for the same number of updates; only what precedes the input differs. In the
world (`slots` with several orders a template) two of five answers differ from what the weights can know, and only an
example near by tells: trust in a context keeps paying, however long a model is trained. What decides is listening: a
command that was never trained and is shown once (`fresh`), and an order that contradicts the weights (`icl`, the
in-context score). Both are asked at three lengths of one run at a constant rate, whose state after n updates is that of
a run of n updates.

Another model has another task of pairs where its preset names one: graded contexts, and the same probes but for
`fresh`, which only a world has (probe_scores.py).

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
from .contrastive_claims import CONTROLS, GRADES, SETTINGS, MeasuredArms, claims
from .contrastive_recipe import (
    ABLATIONS,
    BATCH,
    DEVELOPED,
    FEW,
    JUDGED,
    SEVERAL,
    Files,
    Setup,
    context_of,
    recipe,
    setup,
    world,
)
from .probe_scores import Probed, probed


@register("contrastive")
def contrastive(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm), ablations (false: no controls either), world (its seed), data (a
    folder, where the preset reads files), preset.
    """
    wanted.only("contrastive", "steps", "ablations", "world", "data", "preset")
    made, several, few = setup(wanted), wanted.seeds[:SEVERAL], wanted.seeds[:FEW]
    asked = made.files.task if made.files else "slots"

    def run(name: str, arms: Mapping[str, Any], seeds: tuple[int, ...], looks: int = 1) -> Comparison:
        return compare(recipe(name, arms, wanted, seeds, looks), wanted.out / name, reporter)

    def of(policy: str, **options: Any) -> dict[str, Any]:
        own = made.contrastive if policy == "contrastive" else {}
        return context_of(policy, **({} if policy == "zero" else {**made.context, **own, **options}))

    strategies = run("strategies", {"base": None, **{a: of(a) for a in made.arms}}, wanted.seeds, made.lengths)
    changed = {name: options for name, options in SETTINGS.items() if options} if made.settings else {}
    probes = probed(strategies.folder, asked, made.arms, wanted.seeds)
    paired = probed(strategies.folder, asked, made.arms, several)
    runs = [strategies]
    if changed:
        runs.append(run("settings", {name: of("contrastive", **o) for name, o in changed.items()}, several))
        paired |= probed(runs[-1].folder, asked, changed, several)
    if made.ablations:
        runs.append(run("controls", {a: of(a) for a in CONTROLS}, few))
        probes |= probed(runs[-1].folder, asked, CONTROLS, few)
        runs.append(run("ablations", {a: of("contrastive", **o) for a, o in ABLATIONS.items()}, few))
        probes |= probed(runs[-1].folder, asked, ABLATIONS, few)
    seeds = {a: len(wanted.seeds if a in made.arms else few) for a in probes}
    prefix = f"{made.files.task}." if made.files else ""
    found = MeasuredArms(strategies, probes, paired, seeds, len(several), made.arms, prefix)
    return Study(
        "contrastive",
        "In-context training with contrastive contexts",
        "Malu, Malu, Nemiwal, Sarawagi 2026, arXiv 2604.01601",
        tuple(claims(found)),
        tuple(figures(found)),
        notes(wanted),
        tuple(c.folder.name for c in runs),
    )


# ---------------------------------------------------------------------------------- what is shown


SHOWN = {
    "a new command, shown once": "fresh",
    "in-context": "in_context",
    "in-weights": "in_weights",
    "copy": "copy",
}


def figures(f: MeasuredArms) -> list[Figure]:
    colours = drawing.palette(["base", *f.main], ("base",))
    grades = {a: [_point(f, a, g, x) for x, g in enumerate(GRADES)] for a in ("base", *f.main)}
    asked = f.prefix.rstrip(".") or "slots"
    shown = {title: key for title, key in SHOWN.items() if f.has(key)}
    settings = [a for a in SETTINGS if a in f.paired]
    made = [
        Figure(
            "Who still listens",
            "Fresh: a command that was never trained, shown by one example. In-context score: a trained command is "
            "shown in an order that it never had. In-weights score: right with random examples. Copy score: how much "
            "nearer (chrF) the answer is to one of the examples', which all are random, than the right one is.",
            drawing.lines(
                [(title, {a: f.probes[a].curve(key) for a in f.main}) for title, key in shown.items()],
                colours, "update", "score",
            ),
        ),
        *([Figure("How often a near example is shown", SETTING, _bars(f.paired, (*STRATEGIES_SHOWN, *settings)))]
          if len(settings) > 1 else []),
        Figure(
            "Along the axis of similarity",
            "Share right when the nearest example in the test context is less than a third (low), up to two thirds "
            "(medium) or more (high) similar to the question; 95 % bands over seeds and items. Only the example of "
            "grade high decides: at the others the usual order is right.",
            drawing.lines([(asked, grades)], colours, "nearest example: low, medium, high", "share right",
                          limits=(-0.03, 1.03)),
        ),
    ]  # fmt: skip
    if len(f.probes) > len(f.main):
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
    bars = [(title, {a: _bar(probes[a], key) for a in names}, None) for title, key in SHOWN.items()
            if key != "copy" and probes[names[0]].has(key)]  # fmt: skip
    return drawing.bars(bars, drawing.palette(names))


def _bar(probed: Probed, score: str) -> drawing.BarValue:
    e = probed.at(score)
    interval = e.interval(0.95)
    return e.value, None if interval is None else (interval[0], interval[1])


def _point(f: MeasuredArms, arm: str, grade: str, x: int) -> tuple[float, float, float, float]:
    value, interval = f.strategies.value(arm, f"{f.prefix}{grade}")
    low, high = interval or (value, value)
    return float(x), value, low, high


def notes(wanted: StudyOptions) -> tuple[str, ...]:
    found = setup(wanted)
    if found.files:
        return _notes_of_files(found.files, wanted, found)
    n, made = found.steps, world(wanted)
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


def _notes_of_files(files: Files, wanted: StudyOptions, made: Setup) -> tuple[str, ...]:
    draw = wanted.whole("world", made.judged, 0, LARGEST_SEED)
    return (
        f"{files.what}. Every arm: {made.steps} updates of {made.batch} rows at a constant rate, loss on the answer "
        f"only, model {wanted.model}; {len(wanted.seeds)} seeds; {made.context.get('k', 4)} examples a context; exact "
        "word overlap as similarity.",
        f"{made.found} Asked is the split {files.splits[draw]}: of its first {files.limit} items those that have a "
        "context of each grade.",
        "In-context score: a unit of a near example's answer that the right answer shares is replaced by a new one, "
        "and right is the answer with it (docs/probes.md). The weights alone give nothing.",
        f"Probes look at the untrained model and {made.lengths} times after; no settings, controls or ablations were "
        "run, but what is shown."
        if not made.settings
        else "Settings and controls as with the pocket model.",
        "No numbers of the paper could be read; each claim is its abstract's or a figure caption's, tested as stated.",
    )
