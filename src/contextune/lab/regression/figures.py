"""The study's pictures: alignment against step, and error against in-context examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import pictures
from .arms import ARMS
from .measure import band, interval
from .results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR = dict(zip(ARMS, pictures.COLOURS, strict=True))
DASHES = {"least squares": "--", "3 nearest": ":", "averaging": "-."}


def picture(results: Results, arms: tuple[str, ...], off: tuple[str, ...] = (), simple: bool = False) -> str:
    """A row a class of functions: left the cosines, right the errors; `off` are drawn without prefix too, dashed."""
    targets = [t for t, there in results.plan.targets.items() if all(arm in there for arm in arms)]
    made, axes = pictures.panels(len(targets), 2)
    for (left, right), target in zip(axes, targets, strict=True):
        there = [arm for arm in arms if arm in results.plan.targets[target]]
        for arm in there:
            _aligning(left, results, target, arm)
            _errors(right, results, target, arm)
        if "cft" in there:
            _aligning(left, results, target, "cft", "through")
        for arm in (a for a in off if a in there):
            _aligning(left, results, target, arm, "without")
            _errors(right, results, target, arm, prefixed=False)
        if simple:
            for name, errors in results.simple(target).items():
                right.plot(errors.mean(0), color=pictures.GREY, linestyle=DASHES[name], linewidth=1.1, label=name)
        pictures.title(left, f"{target}: alignment with the true gradient")
        left.set_xlabel("step of fine-tuning")
        left.set_ylim(-0.35, 1.05)
        pictures.title(right, f"{target}: squared error over the best constant's")
        right.set_xlabel("in-context examples of g")
        right.axhline(1, color=pictures.GREY, linewidth=0.8)
        right.set_yscale("log")
        right.set_ylim(0.003, 4)
    pictures.legend(made, [ax for row in axes for ax in row], 5)
    return pictures.svg(made)


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
