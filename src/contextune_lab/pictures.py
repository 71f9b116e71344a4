"""Pictures as SVG: the report's colours, the ink of the page around them, one plate a panel.

A figure of several panels is several SVGs one after another. The page lays them out, side by side where there is room,
so that letters have the same size on a wide screen and on a phone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#00936b", "#bb5c94", "#998800", "#7755aa", "#aa3355", "#886633", "#3b8f9e", "#c08a00")
GREY = "#8b959f"
INK = "#1b1f25"
"""Stands for the page's ink until the drawing is done."""
DOTS: Any = (0, (1.5, 2.5))
WIDTH = 3.7
"""Inches of a plate, which the page stretches: the same for all, so that letters are too."""

_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "contextune", "font.family": "sans-serif", "font.size": 8.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": INK,
    "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.titlecolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.grid": True, "axes.axisbelow": True, "grid.color": GREY,
    "grid.alpha": 0.25, "grid.linewidth": 0.6, "legend.frameon": False, "figure.facecolor": "none",
    "axes.facecolor": "none", "lines.linewidth": 1.6, "axes.linewidth": 0.8,
}  # fmt: skip


def panels(rows: int, columns: int, width: float = 10.0, height: float = 3.2) -> tuple[Figure, list[list[Axes]]]:
    """A grid of panels, `height` a row. Nothing global is touched: neither backend nor current figure."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def plate(heading: str, height: float = 2.7) -> tuple[Figure, Axes]:
    """A panel that stands by itself."""
    figure, ((axis,),) = panels(1, 1, WIDTH, height)
    axis.set_title(heading, loc="left", fontsize=9.5, color=INK)
    return figure, axis


def title(ax: Axes, text: str) -> None:
    ax.set_title(text, loc="left", fontsize=9.5, color=INK)


def legend(figure: Figure, axes: Seq[Axes], columns: int) -> None:
    """One for all panels, below them; a name that several panels have stands once."""
    pairs = [pair for ax in axes for pair in zip(*ax.get_legend_handles_labels(), strict=True)]
    found = {name: line for line, name in pairs}
    figure.legend(
        list(found.values()), list(found), loc="outside lower center", ncols=columns, frameon=False, labelcolor=INK,
        fontsize=8, handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip


def svg(figure: Figure) -> str:
    """The same bytes for the same figure: no date, no random names; as wide as the page lets it be."""
    import matplotlib

    kept = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(kept, format="svg", metadata={"Date": None, "Creator": None})
    text = kept.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%"', text, count=1)
    return text.replace(INK, "currentColor")


def palette(names: Seq[str], untrained: Seq[str] = ()) -> dict[str, str]:
    """A colour for each name, the same in every figure of a study; grey for the untrained."""
    trained = [n for n in names if n not in untrained]
    return {n: GREY for n in untrained} | {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(trained)}
