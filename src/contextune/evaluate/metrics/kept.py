"""How many of the items answered right without their context are answered right with it: what resists a distractor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from contextune.core import registry

from .answers import answers
from .metric import Metric, Outcomes

if TYPE_CHECKING:
    from .metric import Array, Estimator


@registry.metrics("kept")
class Kept(Metric):
    """P(right with the context | right without it), in [0, 1]; 0 where nothing was right without it.

    The share of right answers as they are is `exact_match`, shown beside it. An item that has no
    context counts as one that is known.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    special: ClassVar[bool] = True
    has_majority: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ("contains", "token_f1")
    of_deaf: ClassVar[bool] = True

    def of(self, outcomes: Outcomes) -> Estimator:
        import numpy as np

        found = zip(answers(outcomes, self.name), outcomes["gold"], strict=True)
        right = np.array([float(a == g) for a, g in found])
        known = np.array([1.0 if d is None else d for d in outcomes.get("deaf") or [None] * len(right)])

        def value(weights: Array) -> Array:
            both, of = weights @ (known * right), weights @ known
            return np.where(of > 0, both / np.where(of > 0, of, 1.0), 0.0)

        return value
