"""How likely texts are: perplexity, bits per byte."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from contextune.core import registry

from .metric import Metric, Outcomes

if TYPE_CHECKING:
    from .metric import Array, Estimator

NATS = 0.6931471805599453
"""Nats of a bit."""


class _Per(Metric):
    """Negative log-likelihood of all texts together over their length in `unit`."""

    kinds: ClassVar[tuple[str, ...]] = ("perplexity",)
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    unit: ClassVar[str]

    def of(self, outcomes: Outcomes) -> Estimator:
        import numpy as np

        nll = np.array([-sum(s) for s in outcomes["sums"]])
        length = np.array([sum(n) for n in outcomes[self.unit]], dtype=np.float64)
        return lambda weights: self.finish((weights @ nll) / (weights @ length))

    @abstractmethod
    def finish(self, values: Array) -> Array:
        """From nats a unit to the metric."""


@registry.metrics("perplexity")
class Perplexity(_Per):
    """exp of the mean negative log-likelihood of a token."""

    unit: ClassVar[str] = "tokens"

    def finish(self, values: Array) -> Array:
        import numpy as np

        return np.exp(values)


@registry.metrics("bits_per_byte")
class BitsPerByte(_Per):
    """Negative log-likelihood of a byte, in bits."""

    unit: ClassVar[str] = "bytes"

    def finish(self, values: Array) -> Array:
        return values / NATS
