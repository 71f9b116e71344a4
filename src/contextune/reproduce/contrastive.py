"""Contrastive contexts (Malu et al. 2026, arXiv 2604.01601) on worlds whose similarity grades are exact.

Every strategy trains on the same pairs for the same number of updates; only what stands before the input differs.
The paper's figures could not be read, so its claims are tested in the form of the acceptance tests of our own
formalisation: a claim about two arms is decided within one standard error of what is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..progress import Reporter
from . import drawing
from .claims import Figure, Study, Wanted, register
from .contrastive_claims import claims
from .probed import Probed, probed
from .running import Comparison, compare

GRADES = ("low", "medium", "high")
MAIN = ("zero", "random", "similar", "contrastive", "batch_mix")
CONTROLS = ("mixed_shot", "raft", "neighbour_only", "paraphrase_only", "self_copy")
ABOUT = {
    "base": "the model as it is",
    "zero": "no examples",
    "random": "random examples",
    "similar": "the nearest examples",
    "contrastive": "one paraphrase, neighbour or random example; the rest random",
    "batch_mix": "all random or all near, by a coin",
    "mixed_shot": "none to five random examples",
    "raft": "the nearest among distractors, or distractors only",
    "neighbour_only": "the nearest among random ones, always",
    "paraphrase_only": "a paraphrase among random ones, always",
    "self_copy": "the row itself, solved, among random ones",
}
EPS_P = {f"eps{e}_p{p}": {"eps": e, "p": p} for e in (0.05, 0.5) for p in (0.25, 0.75)}
ABLATIONS: dict[str, dict[str, Any]] = {
    **EPS_P,
    "eps0": {"eps": 0.0},
    "p0": {"p": 0.0},
    "k1": {"k": 1},
    "k2": {"k": 2},
    "k8": {"k": 8},
    "same_answers": {"answers": "same"},
    "reading_b": {"reading": "B"},
    "all_labels": {"loss": "all"},
}
"""Contrastive contexts with one thing changed."""


@register("contrastive")
def contrastive(wanted: Wanted, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm), ablations (false leaves them out)."""
    unknown = set(wanted.options) - {"steps", "ablations"}
    if unknown:
        raise UserError(f"reproduce contrastive: unknown option '{min(unknown)}'", "steps, ablations")
    arms = {"base": None, **{a: _context(a) for a in (*MAIN, *CONTROLS)}}
    slots = compare(recipe("slots", arms, wanted, wanted.seeds, probes=True), wanted.out / "slots", reporter)
    few = {"base": None, **{a: _context(a) for a in MAIN}}
    cipher = compare(recipe("cipher", few, wanted, wanted.seeds), wanted.out / "cipher", reporter)
    changed = None
    if wanted.options.get("ablations", True):
        varied = {a: _context("contrastive", **o) for a, o in ABLATIONS.items()}
        rest = {a: _context(a) for a in ("zero", "random", "similar")}
        spec = recipe("ablations", {**rest, **varied}, wanted, wanted.seeds[:2], world="slots")
        changed = compare(spec, wanted.out / "ablations", reporter)
    watched = probed(slots.folder, "slots", [*MAIN, *CONTROLS], wanted.seeds)
    folders = [c.folder.name for c in (slots, cipher, changed) if c is not None]
    return Study(
        "contrastive",
        "In-context training with contrastive contexts",
        "Malu, Malu, Nemiwal, Sarawagi 2026, arXiv 2604.01601",
        tuple(claims(slots, cipher, changed, watched, len(wanted.seeds))),
        tuple(figures(slots, cipher, changed, watched)),
        notes(slots, wanted),
        tuple(folders),
    )


def _context(policy: str, **options: Any) -> dict[str, Any]:
    if policy == "zero":
        return {"policy": "zero"}
    return {"policy": policy, "similarity": {"kind": "overlap"}, **options}


def recipe(
    name: str,
    arms: Mapping[str, Any],
    wanted: Wanted,
    seeds: tuple[int, ...],
    probes: bool = False,
    world: str = "",
) -> dict[str, Any]:
    size = "paper" if wanted.scale == "paper" else "small"
    source = {"world": world or name, "options": {"size": size}}
    steps = int(wanted.options.get("steps", 200))
    watch = {"probes": {"every": max(1, steps // 5), "items": 40}} if probes else {}
    return {
        "name": f"contrastive-{name}",
        "model": wanted.model,
        "data": {"pairs": {**source, "split": "train"}},
        "arms": {
            arm: {"about": ABOUT.get(arm, ""), **({"data": "pairs", "context": context} if context else {})}
            for arm, context in arms.items()
        },
        "seeds": list(seeds),
        "train": {
            "steps": steps, "batch": 16, "lr": 2e-3 if wanted.model == "pocket" else 2e-4, "weight_decay": 0.0,
            "max_length": 320,
        },
        "evaluate": {"tasks": [{**source, "tasks": [*GRADES, "resist_lure"]}], "samples": 0, **watch},
        "compare": {"baseline": "zero", "tasks": list(GRADES)},
        "allow_overlap": True,
    }  # fmt: skip


# ---------------------------------------------------------------------------------- what is shown


def figures(
    slots: Comparison, cipher: Comparison, changed: Comparison | None, watched: Mapping[str, Probed]
) -> list[Figure]:
    names = ["base", *MAIN, *CONTROLS]
    colours = drawing.palette(names, ("base",))
    panels = [
        (f"{title}", {a: [_point(c, a, g, x) for x, g in enumerate(GRADES)] for a in arms})
        for title, c, arms in (
            ("slots", slots, ("base", *MAIN)),
            ("slots, controls", slots, ("contrastive", *CONTROLS)),
            ("cipher", cipher, ("base", *MAIN)),
        )
    ]
    made = [
        Figure(
            "Along the axis of similarity",
            "Share right when the nearest example in the test context is less than a third (low), up to two thirds "
            "(medium) or more (high) similar to the question; 95 % bands over seeds and items. The same items in all "
            "three.",
            drawing.lines(panels, colours, "nearest example: low, medium, high", "share right", limits=(-0.03, 1.03)),
        ),
        Figure(
            "While it learns",
            "In-weights score: right with random examples. In-context score: the example was edited, and the answer "
            "follows the edit. Lured: the answer of an example that only looks alike was copied.",
            drawing.lines(
                [(title, {a: watched[a].curve(key) for a in MAIN}) for title, key in SHOWN.items()],
                colours, "update", "share", limits=(-0.03, 1.03),
            ),
        ),
    ]  # fmt: skip
    if changed is not None:
        rows = ["zero", "random", "similar", *ABLATIONS]
        bars = [(g, {a: changed.value(a, g) for a in rows}, None) for g in GRADES]
        bars.append(("lure resisted", {a: changed.value(a, "resist_lure") for a in rows}, None))
        about = "Contrastive contexts with one thing changed (eps 0.1, p 0.5, k 4 otherwise); two seeds."
        made.append(Figure("Ablations", about, drawing.bars(bars, drawing.palette(rows))))
    return made


SHOWN = {"in-weights": "in_weights", "in-context": "in_context", "lured": "lured"}


def _point(c: Comparison, arm: str, task: str, x: int) -> tuple[float, float, float, float]:
    value, interval = c.value(arm, task)
    low, high = interval or (value, value)
    return float(x), value, low, high


def notes(slots: Comparison, wanted: Wanted) -> tuple[str, ...]:
    steps = wanted.options.get("steps", 200)
    return (
        f"Every arm: {steps} updates of 16 rows, loss on the answer only, {len(wanted.seeds)} seeds, model "
        f"{wanted.model}; four examples a context (RAFT and mixed-shot: up to five); exact word overlap as similarity.",
        "Paraphrases are made by the worlds' grammar: one slot replaced in the input and in the answer.",
        "No numbers of the paper could be read; each claim is its abstract's or a figure caption's, tested as stated.",
        "The low grade asks for what the weights learned, the high one for what an example shows.",
    )
