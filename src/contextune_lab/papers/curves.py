"""Learning curves of a run, from the raw values on disk: share right by arm and update, drawn together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.evaluate.analysis.statistics import Estimate, bootstrap, mean
from contextune.evaluate.curve import FOLDER
from contextune.experiment.run_dir import stage_folder

from .judging import CONFIDENCE

if TYPE_CHECKING:
    from contextune.evaluate.metrics.metric import Array

CurvePoint = tuple[float, float, float, float]
"""(update, value, low, high)."""


@dataclass(frozen=True)
class Curves:
    """(arm, update) to its estimate; all are drawn together, so that differences are paired."""

    found: Mapping[tuple[str, int], Estimate]

    @property
    def steps(self) -> list[int]:
        return sorted({step for _, step in self.found})

    @property
    def trained(self) -> list[int]:
        """Without the look before the first update."""
        return [s for s in self.steps if s]

    def at(self, arm: str, step: int) -> Estimate:
        return self.found[arm, step]

    def points(self, arm: str) -> list[CurvePoint]:
        return [point(step, self.at(arm, step)) for step in self.steps]

    def apart(self, arm: str, other: str) -> list[tuple[int, Estimate]]:
        """By update: the arm less the other."""
        return [(step, self.at(arm, step) - self.at(other, step)) for step in self.trained]


def point(step: int, e: Estimate) -> CurvePoint:
    low, high = e.interval(CONFIDENCE) or (e.value, e.value)
    return float(step), e.value, low, high


def read(out: Path, task: str, arms: Seq[str], seeds: Seq[int]) -> Curves:
    """What the callback `curve` kept of the first stage of these arms."""
    rows = {(arm, seed): _looks(stage_folder(out, arm, seed, 0) / FOLDER, task) for arm in arms for seed in seeds}
    steps = sorted(rows[arms[0], seeds[0]])
    first = rows[arms[0], seeds[0]][steps[0]]
    cells = {
        (f"{arm} {step}", task): [_share(rows[arm, seed][step]["correct"]) for seed in seeds]
        for arm in arms
        for step in steps
    }
    drawn = bootstrap(
        cells,
        {task: len(first["correct"])},
        len(seeds),
        clusters={task: first["clusters"]},
        bounds={task: (0.0, 1.0)},
    )
    return Curves({(arm, step): drawn[f"{arm} {step}", task] for arm in arms for step in steps})


def pace(apart: Seq[tuple[int, Estimate]]) -> str:
    """How an arm learns beside another, in words, from their difference by update.

    "More slowly" is said where the mean over the curve is clearly below zero while at the longest training the interval
    holds zero and the difference is smaller than that mean: it shrinks. "Less" where even then it is clearly below.
    """
    along, last = mean([e for _, e in apart]), apart[-1][1]
    (_, high), (low, top) = _ends(along), _ends(last)
    if top < 0:
        return "learns less"
    if low > 0:
        return "learns more"
    if high < 0 and last.value > along.value:
        return "learns more slowly"
    if _ends(along)[0] > 0 and last.value < along.value:
        return "learns faster"
    return "is not shown to learn otherwise"


def _ends(e: Estimate) -> tuple[float, float]:
    low, high = e.interval(CONFIDENCE) or (float("-inf"), float("inf"))
    return low, high


def _looks(folder: Path, task: str) -> dict[int, dict[str, list[Any]]]:
    """By update: `correct` and `clusters`, a value an item."""
    return {int(f.stem): json.loads(f.read_text(encoding="utf-8"))[task] for f in folder.glob("[0-9]*.json")}


def _share(correct: Seq[float]) -> Callable[[Array], Array]:
    import numpy as np

    values = np.asarray(correct)
    return lambda weights: (weights * values).sum(-1) / weights.sum(-1)
