"""The geometry of the figures. Templates draw it in per cent of the width, so that text keeps its size on a phone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .looks import ArmLook
from .numbers import between, bounds, finite, num, signed
from .read import Curve, TrainingRecord

POINTS = 160
"""Points a curve has at most; longer ones are means over bins of updates."""


@dataclass(frozen=True)
class AxisScale:
    """A linear or logarithmic axis; `at` gives a position in per cent."""

    low: float
    high: float
    marks: tuple[float, ...]
    log: bool = False

    def at(self, x: float) -> float:
        low, high, x = (math.log(v) if self.log else v for v in (self.low, self.high, max(x, self.low)))
        return round(min(100.0, 100 * (x - low) / (high - low)), 3)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        step = self.marks[1] - self.marks[0] if len(self.marks) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(self.at(m), f"{m:g}" if self.log else f"{m:,.{digits}f}".replace("-", "−")) for m in self.marks]


def axis(values: Iterable[float | None], zero: bool = True, steps: int = 5) -> AxisScale:
    """An axis with round ends that holds all values (and zero, for bars)."""
    known = [v for v in values if v is not None] + ([0.0] if zero else [])
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low < 1e-12:
        low, high = (low, low + 1.0) if zero else (low - 0.5, high + 0.5)
    power = 10.0 ** math.floor(math.log10((high - low) / steps))
    step = next(k * power for k in (1, 2, 5, 10) if k * power * steps >= (high - low) * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(round(k * step, 12) for k in range(first, last + 1))
    return AxisScale(marks[0], marks[-1], marks)


@dataclass(frozen=True)
class Mark:
    """One row of a chart: a bar from `start` to `at` (per cent) and its interval from `low` to `high`."""

    look: ArmLook
    text: str
    note: str
    at: float | None = None
    start: float = 0.0
    low: float | None = None
    high: float | None = None
    clear: bool = True
    value: float | None = None


@dataclass(frozen=True)
class Chart:
    kind: str
    marks: tuple[Mark, ...]
    scale: AxisScale
    refs: tuple[tuple[str, str, float], ...] = ()
    """Lines across all rows: name, value as text, position."""
    better: str = "higher"


ScoredArm = tuple[ArmLook, Any, Any]
"""An arm, its value and its interval."""


def bars(rows: Iterable[ScoredArm], refs: Mapping[str, Any] | None = None, higher: bool = True) -> Chart:
    """Horizontal bars from zero with intervals; `refs` are lines such as chance. No value, no bar, but a row."""
    rows = list(rows)
    lines = {name: x for name, value in (refs or {}).items() if (x := finite(value)) is not None}
    scale = axis([*lines.values(), *(x for row in rows for x in _extent(row))])
    marks = tuple(_mark(row, scale, num(row[1]), between(row[2])) for row in rows)
    return Chart("bars", marks, scale, tuple((n, num(x), scale.at(x)) for n, x in lines.items()), _better(higher))


def forest(rows: Iterable[ScoredArm], higher: bool = True) -> Chart:
    """Differences with intervals around zero; those whose interval excludes zero are `clear`."""
    rows = list(rows)
    scale = axis([x for row in rows for x in _extent(row)])
    if scale.low == 0 or scale.high == 0:  # zero must not lie on the frame
        step = scale.marks[1] - scale.marks[0]
        more = (-step, *scale.marks) if scale.low == 0 else (*scale.marks, step)
        scale = AxisScale(more[0], more[-1], more)
    marks = tuple(_mark(row, scale, signed(row[1]), between(row[2], sign=True), excludes_zero(row[2])) for row in rows)
    return Chart("forest", marks, scale, (("no difference", "0", scale.at(0.0)),), _better(higher))


def _better(higher: bool) -> str:
    return "higher" if higher else "lower"


def excludes_zero(interval: Any) -> bool:
    pair = bounds(interval)
    return pair is not None and (pair[0] > 0 or pair[1] < 0)


def _extent(row: ScoredArm) -> tuple[float | None, ...]:
    return (finite(row[1]), *(bounds(row[2]) or ()))


def _mark(row: ScoredArm, scale: AxisScale, text: str, note: str, clear: bool = True) -> Mark:
    look, value, interval = row
    x, pair = finite(value), bounds(interval)
    if x is None:
        return Mark(look, text, "not measured")
    low, high = (scale.at(pair[0]), scale.at(pair[1])) if pair else (None, None)
    return Mark(look, text, note or "no interval", scale.at(x), scale.at(0.0), low, high, clear, x)


@dataclass(frozen=True)
class Share:
    """A bar of two parts, in per cent of the largest: tokens that are trained on, tokens that are read only."""

    look: ArmLook
    trained: float
    context: float
    trained_text: str
    context_text: str


def shares(totals: Iterable[tuple[ArmLook, int, int]]) -> list[Share]:
    totals = list(totals)
    top = max((t + c for _, t, c in totals), default=0) or 1
    return [Share(k, round(100 * t / top, 3), round(100 * c / top, 3), num(t), num(c)) for k, t, c in totals]


@dataclass(frozen=True)
class Panel:
    """One arm's losses in a box of 100 x 100: a line for each seed, their mean, and the other arms' means behind."""

    look: ArmLook
    seeds: tuple[str, ...]
    mean: str
    others: tuple[str, ...]
    ends: tuple[float, ...]
    final: str


@dataclass(frozen=True)
class Curves:
    panels: tuple[Panel, ...]
    x: AxisScale
    y: AxisScale
    width: int
    """Updates averaged into a point."""


def curves(runs: list[tuple[ArmLook, dict[int, TrainingRecord]]]) -> Curves | None:
    """Small multiples on shared axes, one an arm; None where nothing was logged."""
    runs = [(look, seeds) for look, seeds in runs if any(t.curve for t in seeds.values())]
    if not runs:
        return None
    last = max(t.curve[-1][0] for _, seeds in runs for t in seeds.values() if t.curve)
    width = math.ceil(last / POINTS)
    lines = [[thin(t.curve, width) for t in seeds.values() if t.curve] for _, seeds in runs]
    means = [thin(mean([t.curve for t in seeds.values() if t.curve]), width) for _, seeds in runs]
    x, y = _update_axis(last), _loss_axis([v for arm in lines for line in arm for _, v in line])
    drawn = [path(m, x, y) for m in means]
    panels = tuple(
        Panel(
            look,
            tuple(path(line, x, y) for line in lines[i]),
            drawn[i],
            tuple(p for j, p in enumerate(drawn) if j != i),
            tuple(x.at(end) for end in next(iter(seeds.values())).ends[:-1]),
            num(means[i][-1][1]),
        )
        for i, (look, seeds) in enumerate(runs)
    )
    return Curves(panels, x, y, width)


def _update_axis(last: int) -> AxisScale:
    """From zero to the last update, which need not be a round number."""
    marks = tuple(m for m in axis([float(last)], steps=4).marks if m <= last)
    return AxisScale(0.0, float(last), marks)


def _loss_axis(values: list[float]) -> AxisScale:
    """From near the smallest to the largest loss; logarithmic where they are ten times apart."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < 10:
        return axis(values, zero=False, steps=4)
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [m * 10.0**k for k in tens for m in (1, 2, 5)]
    first = max(i for i, m in enumerate(marks) if m <= low * (1 + 1e-9))
    last = min(i for i, m in enumerate(marks) if m >= high * (1 - 1e-9))
    return AxisScale(marks[first], marks[last], tuple(marks[first : last + 1]), log=True)


def mean(lines: list[Curve]) -> Curve:
    """The mean over seeds at each update that any of them logged."""
    found: dict[int, list[float]] = {}
    for step, loss in (point for line in lines for point in line):
        found.setdefault(step, []).append(loss)
    return [(step, sum(found[step]) / len(found[step])) for step in sorted(found)]


def thin(line: Curve, width: int) -> Curve:
    """Means over bins of `width` updates, each at its bin's last update."""
    bins: dict[int, Curve] = {}
    for step, loss in line:
        bins.setdefault((step - 1) // width, []).append((step, loss))
    return [(points[-1][0], sum(loss for _, loss in points) / len(points)) for points in bins.values()]


def path(line: Curve, x: AxisScale, y: AxisScale) -> str:
    """SVG points; y grows downwards."""
    return " ".join(f"{x.at(step):.2f},{100 - y.at(loss):.2f}" for step, loss in line)
