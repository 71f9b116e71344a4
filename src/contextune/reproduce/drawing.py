"""Pictures of studies: SVG by matplotlib in the report's colours, with the ink of the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

COLOURS = ("#0072b2", "#d55e00", "#00936b", "#bb5c94", "#998800", "#7755aa", "#aa3355", "#886633")
GREY = "#8b959f"
INK = "#1b1f25"
"""Stands for the page's ink until the drawing is done."""

WIDTH = 10.0
"""Inches, which the page stretches to its width: the same for all, so that letters are too."""

Value = tuple[float, tuple[float, float] | None]
"""A value and its interval."""


def canvas(columns: int, rows: int = 1, width: float = 10.0, height: float = 3.2) -> tuple[Canvas, Any]:
    """A figure and its axes, (rows, columns), with quiet spines."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "contextune", "font.family": "sans-serif", "font.size": 9,
        "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": GREY,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.titlesize": 10,
        "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height * rows), squeeze=False)
    figure.patch.set_alpha(0)
    for axis in axes.flat:
        axis.patch.set_alpha(0)
        axis.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def svg(figure: Canvas) -> str:
    """The figure as text, without dates or random names, its ink that of the page around it."""
    import matplotlib
    from matplotlib import pyplot as plt

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "contextune"}):
        figure.tight_layout()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%"', text, count=1)
    return text.replace(INK, "currentColor")


def bars(panels: Seq[tuple[str, Mapping[str, Value], float | None]], colours: Mapping[str, str]) -> str:
    """One panel a (title, value by arm, chance), horizontal bars with whiskers; a dotted line is chance."""
    names = max((list(p[1]) for p in panels), key=len)
    figure, axes = canvas(len(panels), width=WIDTH, height=0.34 * len(names) + 0.9)
    for place, (axis, (title, values, chance)) in enumerate(zip(axes.flat, panels, strict=True)):
        for y, name in enumerate(names):
            if name not in values:
                continue
            value, interval = values[name]
            axis.barh(y, value, height=0.62, color=colours.get(name, GREY), alpha=0.55 if interval else 0.3)
            if interval:
                axis.plot(interval, [y, y], color=colours.get(name, GREY), linewidth=2.2, solid_capstyle="butt")
            axis.text(1.02, y, f"{value:.2f}", va="center", fontsize=8, color=INK)
        if chance is not None:
            axis.axvline(chance, color=INK, linewidth=1, linestyle=(0, (1.5, 2.5)))
        axis.set(xlim=(0, 1.12), ylim=(len(names) - 0.4, -0.6), title=title, xticks=[0, 0.5, 1])
        axis.set_yticks(range(len(names)), names if place == 0 else [""] * len(names))
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
    """One panel a (title, points by name); a point is (x, value, low, high), drawn as a line in its band."""
    figure, axes = canvas(len(panels), width=WIDTH)
    for place, (axis, (title, series)) in enumerate(zip(axes.flat, panels, strict=True)):
        for name, points in series.items():
            xs, values, lows, highs = zip(*points, strict=True)
            axis.plot(xs, values, color=colours.get(name, GREY), linewidth=1.8, label=name, marker="o", markersize=3)
            axis.fill_between(xs, lows, highs, color=colours.get(name, GREY), alpha=0.15, linewidth=0)
        for name, level in (refs or {}).items():
            axis.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (1.5, 2.5)))
            axis.annotate(name, (axis.get_xlim()[1], level), fontsize=7, ha="right", va="bottom", color=INK)
        axis.set(title=title, xlabel=x, ylabel=y if place == 0 else "")
        if limits:
            axis.set_ylim(*limits)
    handles = {h.get_label(): h for axis in axes.flat for h in axis.get_lines() if not h.get_label().startswith("_")}
    figure.legend(
        handles.values(), handles.keys(), loc="upper center",
        ncol=min(6, max(1, len(handles))), bbox_to_anchor=(0.5, 0.02), frameon=False, fontsize=8, labelcolor=INK,
    )  # fmt: skip
    return _with_legend(figure)


def _with_legend(figure: Canvas) -> str:
    """Room below for a legend that stands outside the axes."""
    import matplotlib

    with matplotlib.rc_context({"savefig.bbox": "tight"}):
        return svg(figure)


def palette(names: Seq[str], untrained: Seq[str] = ()) -> dict[str, str]:
    """A colour for each name, the same in every figure of a study; grey for the untrained."""
    trained = [n for n in names if n not in untrained]
    return {n: GREY for n in untrained} | {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(trained)}
