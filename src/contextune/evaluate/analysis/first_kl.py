"""How far each arm's models have moved from the first one on general text, from the outcomes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .. import metrics
from .statistics import bootstrap


class Kept(Protocol):
    """What a file of outcomes holds."""

    @property
    def about(self) -> dict[str, Any]: ...

    @property
    def columns(self) -> Mapping[str, list[Any]]: ...


def of_arms(
    files: Mapping[str, Mapping[str, Mapping[int, Kept]]], resamples: int, confidence: float
) -> dict[str, Any] | None:
    """{"metric", "about", "texts", "tokens", "arms": {ARM: {"value", "interval", "seeds": {SEED: value}}}}; None where
    it was not measured. Of several texts, left by an earlier recipe, none is told.

    The interval is over texts and seeds.
    """
    tasks = {name for of_arm in files.values() for name in of_arm}
    if len(tasks) != 1:
        return None
    (task,) = tasks
    found = {arm: of_arm[task] for arm, of_arm in files.items() if task in of_arm}
    one = next(iter(next(iter(found.values())).values()))
    metric, texts = metrics.find(one.about["metric"]), len(one.columns["item"])
    by_seed = {
        arm: {seed: metric.of(f.columns) for seed, f in sorted(of_seed.items())} for arm, of_seed in found.items()
    }
    cells = bootstrap(
        {(arm, task): list(of_seed.values()) for arm, of_seed in by_seed.items()},
        {task: texts},
        max(map(len, by_seed.values())),
        resamples,
        clusters={task: one.columns["cluster"]},
        bounds={task: metric.bounds},
    )
    arms = {
        arm: {
            "value": cells[arm, task].value,
            "interval": cells[arm, task].interval(confidence),
            "seeds": {str(seed): float(of(np.ones(texts))) for seed, of in of_seed.items()},
        }
        for arm, of_seed in by_seed.items()
    }
    return {
        "metric": metric.name,
        "about": one.about["about"],
        "texts": texts,
        "tokens": sum(n for row in one.columns["tokens"] for n in row),
        "arms": arms,
    }
