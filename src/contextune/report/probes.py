"""Curves, probes and gradients over updates: a panel for each score, a line for each arm, a band over its seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .figures import AxisScale, axis, path
from .looks import ArmLook
from .numbers import num
from .read import Curve, _json

SCORES = {
    "in_weights": ("In-weights score", "the task's metric after random examples"),
    "in_context": ("In-context score", "an edited answer of the similar example is taken over, the rest right"),
    "fresh": ("Fresh", "right after one example of what was never trained"),
    "difference": ("Similar less random", "the metric after a similar example less that after random ones"),
    "copy": ("Copy score", "how much nearer to an irrelevant example's answer than the right answer is"),
    "lured": ("Lures copied", "share of outputs that are the answer of an example with nearly the same input"),
}
GRADIENTS = {
    "cosine": ("Cosine with and without", "of the gradients of the same tokens after the context and with nothing"),
    "gain": ("Gain of direction", "cosine with the deciding tasks' gradient, after the context less without it"),
    "toward_plain": ("Direction without a context", "cosine with the deciding tasks' gradient"),
    "shift": ("Loss shift", "nats a target token, after the context less without it"),
    "ratio": ("Norm ratio", "length of the gradient, after the context over without it"),
}


@dataclass(frozen=True)
class ScoreKind:
    """What stages keep in a folder of their own, as scores.json: [{task, step, scores}]."""

    folder: str
    title: str
    scores: dict[str, tuple[str, str]]
    note: str


CURVE = {"right": ("Share right", "of the task's items, by updates")}
KINDS = (
    ScoreKind(
        "curve", "Learning curves", CURVE,
        "The task's items, asked while the arm trained. Under a falling learning rate a point is not what a shorter "
        "training would have reached; under a constant one it is.",
    ),
    ScoreKind(
        "probes", "Probes during training", SCORES,
        "Few items: read the curves, not single points. The difference also rises where a model fails after random "
        "examples: look at the in-weights score beside it. What was said stands in the stages' folders, "
        "probes/*.jsonl.",
    ),
    ScoreKind(
        "gradients", "Gradients during training, context", GRADIENTS,
        "Of a few records of each stage, the same at every look. Where the gain is above zero, the context's gradient "
        "points to what the tasks ask for better than that of the text alone. Intervals and layers stand in the "
        "stages' folders, gradients/*.json.",
    ),
)  # fmt: skip
ProbeScores = dict[str, dict[str, dict[int, dict[str, Curve]]]]
"""Task, arm, seed, score."""


@dataclass(frozen=True)
class ScoreLine:
    look: ArmLook
    mean: str
    band: str
    """A polygon one standard error either side of the mean over seeds; empty with one seed."""
    last: str


@dataclass(frozen=True)
class ProbePanel:
    title: str
    about: str
    lines: tuple[ScoreLine, ...]
    x: AxisScale
    y: AxisScale


@dataclass(frozen=True)
class Section:
    title: str
    task: str
    note: str
    panels: tuple[ProbePanel, ...]
    looks: tuple[ArmLook, ...]
    seeds: int


def sections(folder: Path, looks: dict[str, ArmLook]) -> list[Section]:
    """What the stages' scores.json hold of each kind; an empty list where nothing was looked at."""
    return [
        _section(kind, task, arms, looks) for kind in KINDS for task, arms in sorted(_read(folder, kind, looks).items())
    ]


def _read(folder: Path, kind: ScoreKind, looks: dict[str, ArmLook]) -> ProbeScores:
    """The stages of an arm follow one another on one axis of updates."""
    found: ProbeScores = {}
    starts: dict[tuple[str, int], int] = {}
    files = [(p, re.fullmatch(r"seed-(\d+)", p.parts[-4]), re.fullmatch(r"stage-(\d+)", p.parts[-3]))
             for p in folder.glob(f"arms/*/seed-*/stage-*/{kind.folder}/scores.json")]  # fmt: skip
    known = [(p.parts[-5], int(seed[1]), int(stage[1]), p) for p, seed, stage in files if seed and stage]
    for arm, number, _, file in sorted(known):
        start, last = starts.get((arm, number), 0), 0
        for row in _json(file, list) if arm in looks else []:
            last = max(last, row["step"])
            of = found.setdefault(row["task"], {}).setdefault(arm, {}).setdefault(number, {})
            for name, value in row["scores"].items():
                of.setdefault(name, []).append((start + row["step"], float(value)))
        starts[arm, number] = start + last
    return found


def _section(
    kind: ScoreKind, task: str, arms: dict[str, dict[int, dict[str, Curve]]], looks: dict[str, ArmLook]
) -> Section:
    last = max(s for seeds in arms.values() for of in seeds.values() for c in of.values() for s, _ in c)
    x = AxisScale(0.0, float(max(last, 1)), tuple(m for m in axis([float(last)], steps=4).marks if m <= last) or (0.0,))
    panels = []
    for name, (title, about) in kind.scores.items():
        curves = {arm: [of[name] for of in seeds.values() if name in of] for arm, seeds in arms.items()}
        curves = {arm: found for arm, found in curves.items() if found}
        if curves:
            panels.append(_panel(title, about, curves, looks, x))
    seeds = max(len(s) for s in arms.values())
    return Section(kind.title, task, kind.note, tuple(panels), tuple(looks[arm] for arm in looks if arm in arms), seeds)


def _panel(
    title: str, about: str, curves: dict[str, list[Curve]], looks: dict[str, ArmLook], x: AxisScale
) -> ProbePanel:
    summed = {arm: _over_seeds(found) for arm, found in curves.items()}
    ends = [v for rows in summed.values() for _, mean, error in rows for v in (mean - error, mean + error)]
    y = axis([*ends, 1.0] if max(ends) > 0.5 else ends, steps=4)
    lines = tuple(_line(looks[arm], summed[arm], x, y) for arm in looks if arm in summed)
    return ProbePanel(title, about, lines, x, y)


def _over_seeds(curves: list[Curve]) -> list[tuple[int, float, float]]:
    """(update, mean, standard error) wherever any seed was asked."""
    at: dict[int, list[float]] = {}
    for step, value in (point for curve in curves for point in curve):
        at.setdefault(step, []).append(value)
    return [(step, _mean(values), _error(values)) for step, values in sorted(at.items())]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _error(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    middle = _mean(values)
    return float((sum((v - middle) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5)


def _line(look: ArmLook, rows: list[tuple[int, float, float]], x: AxisScale, y: AxisScale) -> ScoreLine:
    mean = [(step, value) for step, value, _ in rows]
    upper, lower = [(s, v + e) for s, v, e in rows], [(s, v - e) for s, v, e in rows]
    band = path([*upper, *reversed(lower)], x, y) if any(e for *_, e in rows) else ""
    return ScoreLine(look, path(mean, x, y), band, num(mean[-1][1]))
