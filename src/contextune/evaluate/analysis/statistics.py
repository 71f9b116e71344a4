"""Intervals by the crossed ("pigeonhole") bootstrap over seeds and items.

Seeds and the items of each task are drawn with replacement, independently of each other, and the same draw serves all
arms: differences are paired by construction. Percentile intervals. Where both seeds and items vary the method is
conservative (Owen 2007, Annals of Applied Statistics 1:386); a handful of seeds makes it rough; one seed is kept as it
is, and the interval then says nothing of the variation between trainings.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..metrics.metric import Array, Estimator

BATCH = 200
"""Resamples computed at once; a matter of memory only."""


@dataclass(frozen=True)
class Estimate:
    """A value, and its bootstrap replicates (none where nothing could be resampled)."""

    value: float
    draws: Array

    def interval(self, confidence: float) -> list[float] | None:
        if not self.draws.size:
            return None
        tail = (1 - confidence) / 2
        return [float(q) for q in np.quantile(self.draws, (tail, 1 - tail))]

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)


def mean(estimates: Seq[Estimate]) -> Estimate:
    """The unweighted mean."""
    return Estimate(float(np.mean([e.value for e in estimates])), np.mean([e.draws for e in estimates], axis=0))


Cells = Mapping[tuple[str, str], Seq["Estimator"]]
"""(arm, task) to the task's metric as a function of item weights, one a seed; a single one stands for all seeds."""


def bootstrap(
    cells: Cells, items: Mapping[str, int], seeds: int, resamples: int = 2000, rng: int = 0
) -> dict[tuple[str, str], Estimate]:
    """The mean over seeds of each cell, with replicates drawn together for all cells."""
    from scipy import stats

    sizes = {"": seeds, **items}
    varying = [name for name, n in sizes.items() if n > 1]

    def statistic(*drawn: np.ndarray[Any, Any], axis: int = -1) -> Array:
        weights = dict(zip(varying, map(_counts, drawn, (sizes[v] for v in varying)), strict=True))
        shape = drawn[0].shape[:-1]
        fixed = {name: np.ones((*shape, n)) for name, n in sizes.items() if n == 1}
        return _values(cells, weights | fixed)

    point = _values(cells, {name: np.ones(n) for name, n in sizes.items()})
    draws = np.empty((len(cells), 0))
    if varying:
        found = stats.bootstrap(
            [np.arange(sizes[v]) for v in varying],
            statistic,
            n_resamples=resamples,
            batch=BATCH,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(rng),
        )
        draws = found.bootstrap_distribution
    return {key: Estimate(float(value), row) for key, value, row in zip(cells, point, draws, strict=True)}


def _counts(drawn: np.ndarray[Any, Any], n: int) -> Array:
    """How often each of n indices was drawn: (…, draws) to (…, n)."""
    flat = drawn.reshape(-1, drawn.shape[-1])
    shifted = flat + n * np.arange(len(flat))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=n * len(flat)).astype(np.float64)
    return counts.reshape(*drawn.shape[:-1], n)


def _values(cells: Cells, weights: Mapping[str, Array]) -> Array:
    """(cells, …): each cell's metric, averaged over the drawn seeds."""
    seeds = weights[""]
    found = []
    for (_, task), estimators in cells.items():
        values = np.stack([estimate(weights[task]) for estimate in estimators], axis=-1)
        found.append((values * seeds).sum(-1) / seeds.sum(-1) if len(estimators) > 1 else values[..., 0])
    return np.stack(found)
