"""How far a model has moved from the first one on general text: KL(first ‖ now), which predicts forgetting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from contextune.core import registry

from .metric import Metric, Outcomes

if TYPE_CHECKING:
    from .metric import Estimator


@registry.metrics("first_kl")
class FirstKL(Metric):
    """Σ over tokens of KL(first ‖ now) over their number, in nats; of an arm, not of a task that can be named."""

    kinds: ClassVar[tuple[str, ...]] = ()
    higher_is_better: ClassVar[bool] = False
    special: ClassVar[bool] = True
    has_majority: ClassVar[bool] = False
    of_arm: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def of(self, outcomes: Outcomes) -> Estimator:
        import numpy as np

        nats = np.array([sum(s) for s in outcomes["sums"]])
        tokens = np.array([sum(n) for n in outcomes["tokens"]], dtype=np.float64)
        return lambda weights: (weights @ nats) / (weights @ tokens)
