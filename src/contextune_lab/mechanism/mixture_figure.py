"""The figure and the table of the two-layer model's study."""

from __future__ import annotations

from .. import pictures
from .mixture_study import STRATEGIES, MixtureResult

SHOWN = ("random", "similar", "contrastive", "batch mix", "paraphrase")
"""Strategies that are drawn as lines; the rest run close to these and stand in the table."""


def table(result: MixtureResult, parameters: int = 2) -> str:
    """Plain text, one line a strategy."""
    columns = ["theta1", "theta2", *(["theta3"] if parameters == 3 else [])]
    columns += ["maturity", "random", "neighbour", "paraphrase", "copied"]
    lines = [" ".join([f"{'strategy':12}", *(f"{c:>10}" for c in columns)])]
    for row in result.rows():
        if row["parameters"] == parameters:
            lines.append(" ".join([f"{row['strategy']:12}", *(f"{row[c]:10.3f}" for c in columns)]))
    return "\n".join(lines)


def figure(result: MixtureResult) -> str:
    """θ1, θ2 and maturity over steps; then the risk on each kind of context and what is copied, two parameters."""
    made, (axes,) = pictures.panels(1, 4, width=11, height=3.0)
    chosen = [i for i, s in enumerate(STRATEGIES) if s.name in SHOWN]
    steps = [max(step, result.steps[1] / 2) for step in result.steps]
    theta, risk = result.theta[:, 0].mean(2), result.risk[:, 0].mean(2)
    drawn = (
        ("θ1, use of relevance", theta[..., 0]),
        ("θ2, trust in weights", theta[..., 1]),
        ("copied from random contexts", result.copied[:, 0].mean(2)),
        ("risk: random —, paraphrase ···", risk[..., 0]),
    )
    for ax, (title, values) in zip(axes, drawn, strict=True):
        for colour, i in enumerate(chosen):
            ax.plot(steps, values[:, i], color=pictures.COLOURS[colour], label=STRATEGIES[i].name)
            if values is drawn[-1][1]:
                ax.plot(steps, risk[:, i, 2], color=pictures.COLOURS[colour], linestyle=":")
        ax.set_xscale("log")
        pictures.title(ax, title)
        ax.set_xlabel("step")
    axes[2].set_ylim(0, 1)
    axes[3].set_ylim(0, None)
    pictures.legend(made, axes, len(chosen))
    return pictures.svg(made)
