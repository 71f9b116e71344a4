"""Accuracies, and the metrics of classes: F1, Matthews correlation.

F1 and MCC come from weighted confusion counts; they equal scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from contextune.core import registry

from .answers import answers
from .metric import Metric, Outcomes, mean

if TYPE_CHECKING:
    from .metric import Array, Estimator


class _Right(Metric):
    """The share of answers that are the gold one."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def of(self, outcomes: Outcomes) -> Estimator:
        return mean([float(a == g) for a, g in zip(answers(outcomes, self.name), outcomes["gold"], strict=True)])


@registry.metrics("accuracy")
class Accuracy(_Right):
    """The most likely option is right; of a generated text, the first option that occurs in it."""

    kinds: ClassVar[tuple[str, ...]] = ("choice", "generate")


@registry.metrics("accuracy_token")
class AccuracyToken(_Right):
    """As accuracy, by the mean log-likelihood of a token."""

    kinds: ClassVar[tuple[str, ...]] = ("choice",)


@registry.metrics("accuracy_byte")
class AccuracyByte(_Right):
    """As accuracy, by the mean log-likelihood of a byte."""

    kinds: ClassVar[tuple[str, ...]] = ("choice",)


@registry.metrics("exact_match")
class ExactMatch(_Right):
    """The text without the space around it is the gold answer."""

    beside: ClassVar[tuple[str, ...]] = ("contains", "token_f1")


@registry.metrics("starts_with")
class StartsWith(_Right):
    """The text begins with the gold answer as whole words, whatever the case."""


@registry.metrics("substring_choice")
class SubstringChoice(_Right):
    """The first option that occurs anywhere in the lower-cased text is right (PIXIU's rule)."""


@registry.metrics("missing")
class Missing(Metric):
    """The share of texts in which no option occurs."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def of(self, outcomes: Outcomes) -> Estimator:
        return mean([float(a is None) for a in answers(outcomes, self.name)])


class _OfClasses(Metric):
    kinds: ClassVar[tuple[str, ...]] = ("choice", "generate")
    of_classes: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)


class _F1(_OfClasses):
    """F1 of each class seen in gold, averaged."""

    by_share: ClassVar[bool]

    def of(self, outcomes: Outcomes) -> Estimator:
        counts = _counts(outcomes)

        def estimate(weights: Array) -> Array:
            hits, gold, predicted = counts(weights)
            f1 = 2 * hits / (gold + predicted).clip(min=1e-300)
            share = gold if self.by_share else (gold > 0).astype(float)
            averaged: Array = (f1 * share).sum(-1) / share.sum(-1)
            return averaged

        return estimate


@registry.metrics("weighted_f1")
class WeightedF1(_F1):
    """F1 of each class, averaged by its share of the gold answers."""

    by_share: ClassVar[bool] = True


@registry.metrics("macro_f1")
class MacroF1(_F1):
    """F1 of each class, all weighed equally."""

    by_share: ClassVar[bool] = False


@registry.metrics("mcc")
class Mcc(_OfClasses):
    """Matthews correlation for several classes (Gorodkin 2004); 0 where one side is constant."""

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def of(self, outcomes: Outcomes) -> Estimator:
        import numpy as np

        counts = _counts(outcomes)

        def estimate(weights: Array) -> Array:
            hits, gold, predicted = counts(weights)
            n = gold.sum(-1)
            covariance = hits.sum(-1) * n - (gold * predicted).sum(-1)
            spread = (n**2 - (predicted**2).sum(-1)) * (n**2 - (gold**2).sum(-1))
            return np.where(spread > 0, covariance / np.sqrt(spread.clip(min=1e-300)), 0.0)

        return estimate


def _counts(outcomes: Outcomes) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Weighted confusion counts (…, classes): hits, gold, predicted. The last class is all that is never gold."""
    import numpy as np

    golds = sorted(set(outcomes["gold"]))
    place = {label: i for i, label in enumerate(golds)}
    gold = np.array([place[g] for g in outcomes["gold"]])
    predicted = np.array([place.get(a or "", len(golds)) for a in answers(outcomes, "accuracy")])
    one_hot = np.eye(len(golds) + 1)
    hits = one_hot[gold] * (gold == predicted)[:, None]
    return lambda weights: (weights @ hits, weights @ one_hot[gold], weights @ one_hot[predicted])
