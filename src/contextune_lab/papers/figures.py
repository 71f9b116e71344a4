"""What most studies show: shares by arm as bars, scores over something as lines; one plate a panel."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq

from ..pictures import COLOURS, DOTS, GREY, INK, legend, palette, plate, svg

__all__ = ["COLOURS", "GREY", "INK", "BarValue", "bars", "lines", "palette"]

BarValue = tuple[float, tuple[float, float] | None]
"""A value and its interval."""


def bars(panels: Seq[tuple[str, Mapping[str, BarValue], float | None]], colours: Mapping[str, str]) -> str:
    """One plate a (title, value by arm, chance), horizontal bars with whiskers; a dotted line is chance."""
    names = max((list(p[1]) for p in panels), key=len)
    return "".join(_bars(title, values, chance, names, colours) for title, values, chance in panels)


def _bars(
    title: str, values: Mapping[str, BarValue], chance: float | None, names: Seq[str], colours: Mapping[str, str]
) -> str:
    figure, axis = plate(title, height=0.23 * len(names) + 0.6)
    for y, name in enumerate(names):
        if name not in values:
            continue
        value, interval = values[name]
        axis.barh(y, value, height=0.62, color=colours.get(name, GREY), alpha=0.55 if interval else 0.3)
        if interval:
            axis.plot(interval, [y, y], color=colours.get(name, GREY), linewidth=2.2, solid_capstyle="butt")
        axis.text(1.04, y, f"{value:.2f}", va="center", fontsize=8, color=INK)
    if chance is not None:
        axis.axvline(chance, color=INK, linewidth=1, linestyle=DOTS)
    axis.set(xlim=(0, 1.2), ylim=(len(names) - 0.4, -0.6), xticks=[0, 0.5, 1])
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines["bottom"].set_visible(False)
    return svg(figure)


def lines(
    panels: Seq[tuple[str, Mapping[str, Seq[tuple[float, float, float, float]]]]],
    colours: Mapping[str, str],
    x: str,
    y: str,
    refs: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """One plate a (title, points by name); a point is (x, value, low, high), drawn as a line in its band."""
    made = []
    for heading, series in panels:
        figure, axis = plate(heading)
        for name, points in series.items():
            xs, values, lows, highs = zip(*points, strict=True)
            axis.plot(xs, values, color=colours.get(name, GREY), label=name, marker="o", markersize=3)
            axis.fill_between(xs, lows, highs, color=colours.get(name, GREY), alpha=0.15, linewidth=0)
        for name, level in (refs or {}).items():
            axis.axhline(level, color=INK, linewidth=0.9, linestyle=DOTS)
            axis.annotate(name, (axis.get_xlim()[1], level), fontsize=7, ha="right", va="bottom", color=INK)
        axis.set(xlabel=x, ylabel=y)
        if limits:
            axis.set_ylim(*limits)
        legend(figure, [axis], min(4, max(1, len(series))))
        made.append(svg(figure))
    return "".join(made)
