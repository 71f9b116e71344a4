"""What a metric is: what an answer is worth, and what answers are worth together under any weights of the items.

A metric is a class, registered by `@registry.metrics("name")`. Where items are scored one by one and averaged, derive
from `ItemMetric` and write `worth`; else derive from `Metric` and write `of`. Estimators take arrays of item weights,
so that thousands of bootstrap resamples cost one matrix product.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from contextune.core.items import Item, Task

from .answers import composed, read_output

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]
    Estimator = Callable[[Array], Array]
    """Item weights (…, n) to values (…)."""

Outcomes = Mapping[str, Seq[Any]]
"""Columns, as in docs/architecture.md."""


@dataclass(frozen=True, slots=True)
class Grade:
    """`correct` in [0, 1] (COMET's own scale may reach beyond); `notes` go into the outcome's fields."""

    predicted: str | None
    correct: float
    notes: dict[str, Any] = field(default_factory=dict)


class Metric(ABC):
    """One number of a task's outcomes."""

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("generate",)
    """The kinds of task that it is for: choice, generate, perplexity."""
    higher_is_better: ClassVar[bool] = True
    of_classes: ClassVar[bool] = False
    """It says something only where all items have the same options."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Metrics that are shown beside it, for tasks of its sort alone."""
    special: ClassVar[bool] = False
    """It is for tasks of one sort, and shown only where they name it or one that has it `beside`."""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """What its value lies within; intervals go no further."""
    of_deaf: ClassVar[bool] = False
    """It asks what was right without the context, so that every item is asked again without it."""
    of_arm: ClassVar[bool] = False
    """It is said of an arm's models beside its tasks, in which it has no part."""
    has_majority: ClassVar[bool] = True
    """Whether the score of the most frequent gold answer says something."""

    @abstractmethod
    def of(self, outcomes: Outcomes) -> Estimator:
        """The value as a function of item weights."""

    def grade(self, task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
        """Each generated output against its item's gold answer. The items need not be the task's own."""
        said = [read_output(self.name, o, i.gold, i.options) for i, o in zip(items, outputs, strict=True)]
        return [Grade(text, float(text == i.gold)) for text, i in zip(said, items, strict=True)]


class ItemMetric(Metric):
    """A metric that is the mean of what each generated answer is worth."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @abstractmethod
    def worth(self, output: str, gold: str) -> float:
        """What one answer is worth, in [0, 1]."""

    def of(self, outcomes: Outcomes) -> Estimator:
        found = zip(outcomes["output"], outcomes["gold"], strict=True)
        return mean([self.worth(composed(output), composed(gold)) for output, gold in found])

    def grade(self, task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
        """An answer worth 1 counts as the gold one."""
        found = [(item, output.strip()) for item, output in zip(items, outputs, strict=True)]
        values = [self.worth(composed(output), composed(item.gold)) for item, output in found]
        return [Grade(i.gold if v == 1 else o, v) for (i, o), v in zip(found, values, strict=True)]


def mean(values: Seq[float]) -> Estimator:
    """The weighted mean of one value an item."""
    import numpy as np

    column = np.asarray(values, dtype=np.float64)
    return lambda weights: weights @ column / weights.sum(-1)


def graded(outcomes: Outcomes) -> Estimator:
    """The mean of what each item was found to be worth when it was scored."""
    return mean(outcomes["correct"])
