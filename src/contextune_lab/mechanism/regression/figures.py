"""The study's pictures: alignment against step, and error against in-context examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import pictures
from .arms import ARMS
from .measure import band, interval
from .results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR = dict(zip(ARMS, pictures.COLOURS, strict=True))
DASHES = {"least squares": "--", "3 nearest": ":", "averaging": "-."}


def picture(results: Results, arms: tuple[str, ...], off: tuple[str, ...] = (), simple: bool = False) -> str:
    """A plate a class of functions: all cosines, then all errors; `off` are drawn without prefix too, dashed."""
    targets = [t for t, there in results.plan.targets.items() if all(arm in there for arm in arms)]
    return "".join(
        draw(results, t, [a for a in arms if a in results.plan.targets[t]], off, simple)
        for draw in (_alignment, _error)
        for t in targets
    )


def _alignment(results: Results, target: str, arms: list[str], off: tuple[str, ...], simple: bool) -> str:
    figure, axis = pictures.plate(f"{target}: alignment with the true gradient")
    for arm in arms:
        _aligning(axis, results, target, arm)
    if "cft" in arms:
        _aligning(axis, results, target, "cft", "through")
    for arm in (a for a in off if a in arms):
        _aligning(axis, results, target, arm, "without")
    axis.set(xlabel="step of fine-tuning", ylim=(-0.35, 1.05))
    pictures.legend(figure, [axis], 3)
    return pictures.svg(figure)


def _error(results: Results, target: str, arms: list[str], off: tuple[str, ...], simple: bool) -> str:
    figure, axis = pictures.plate(f"{target}: error over the best constant's")
    for arm in arms:
        _errors(axis, results, target, arm)
    for arm in (a for a in off if a in arms):
        _errors(axis, results, target, arm, prefixed=False)
    for name, errors in results.simple(target).items() if simple else ():
        axis.plot(errors.mean(0), color=pictures.GREY, linestyle=DASHES[name], linewidth=1.1, label=name)
    axis.set(xlabel="in-context examples of g", yscale="log", ylim=(0.003, 4))
    axis.axhline(1, color=pictures.GREY, linewidth=0.8)
    pictures.legend(figure, [axis], 3)
    return pictures.svg(figure)


def _aligning(ax: Axes, results: Results, target: str, arm: str, mode: str = "alignment") -> None:
    steps, cosines = results.aligning(target, arm, mode)
    style = {"alignment": "-", "without": "--", "through": ":"}[mode]
    label = _label(arm, mode != "without") + (", values move" if mode == "through" else "")
    ax.plot(steps, cosines.mean(0), color=COLOUR[arm], linestyle=style, label=label)
    bands = [interval(column.tolist()) or (float("nan"),) * 2 for column in cosines.T]
    ax.fill_between(steps, [b[0] for b in bands], [b[1] for b in bands], color=COLOUR[arm], alpha=0.12, linewidth=0)


def _errors(ax: Axes, results: Results, target: str, arm: str, prefixed: bool = True) -> None:
    errors = results.errors(target, arm, prefixed)
    low, high = band(errors)
    mean = errors.mean((0, 1))
    ax.plot(mean, color=COLOUR[arm], linestyle="-" if prefixed else "--", label=_label(arm, prefixed))
    ax.fill_between(range(len(mean)), low, high, color=COLOUR[arm], alpha=0.15, linewidth=0)


def _label(arm: str, prefixed: bool) -> str:
    return arm if prefixed else f"{arm}, prefix off"
