"""Metrics by name, all computed from a task's outcomes and nothing else."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from contextune.core import registry
from contextune.core.errors import UserError, nearest

from .answers import answers
from .metric import Metric, Outcomes


def find(name: str) -> Metric:
    """The metric of a name; UserError with the nearest name where there is none."""
    metric: Metric = registry.metrics.find(name)()
    return metric


def known() -> dict[str, Metric]:
    return {name: metric() for name, metric in registry.metrics.items()}


def check(name: str, kind: str, where: str) -> None:
    """Raises UserError where a metric is unknown or says nothing of this kind of task."""
    suited = [m.name for m in known().values() if kind in m.kinds]
    if name not in registry.metrics:
        raise UserError(f"{where}: metric: unknown '{name}'", nearest(name, suited))
    if name not in suited:
        raise UserError(f"{where}: metric: '{name}' is not for tasks of kind {kind}", f"known: {', '.join(suited)}")


def evaluate(outcomes: Outcomes, name: str) -> float:
    """A metric's value on all items."""
    import numpy as np

    return float(find(name).of(outcomes)(np.ones(len(outcomes["item"]))))


def summary(outcomes: Outcomes, metric: str) -> dict[str, Any]:
    """Every metric that says something of these outcomes, and `recall` by class."""
    kind, gold = outcomes["kind"][0], outcomes["gold"]
    same_options = any(outcomes["options"]) and len({frozenset(o) for o in outcomes["options"]}) == 1
    classes = find(metric).of_classes or same_options
    wanted = {n: m for n, m in known().items() if kind in m.kinds and (classes or not m.of_classes)}
    if kind == "generate":
        unlike = ("exact_match", "starts_with") if any(outcomes["options"]) else ("substring_choice", "missing")
        beside = find(metric).beside
        wanted = {n: m for n, m in wanted.items() if n not in unlike and (not m.special or n in beside)}
    found: dict[str, Any] = {n: evaluate(outcomes, n) for n in dict.fromkeys((metric, *wanted))}
    return found | ({"recall": recall(gold, answers(outcomes, metric))} if classes else {})


def majority(outcomes: Outcomes, metric: str) -> float | None:
    """What the metric gives where the most frequent gold answer is always given; None where it makes no sense."""
    chosen = find(metric)
    if not chosen.higher_is_better or not chosen.has_majority:
        return None
    gold = list(outcomes["gold"])
    most = max(sorted(set(gold)), key=gold.count)
    constant = {**outcomes, "kind": ["generate"] * len(gold), "options": [[]] * len(gold), "output": [most] * len(gold)}
    return evaluate(constant, metric if chosen.of_classes else "exact_match")


def recall(gold: Seq[str], predicted: Seq[str | None]) -> dict[str, float]:
    """Share of each class's items that were recognised."""
    hits = {label: [p == g for g, p in zip(gold, predicted, strict=True) if g == label] for label in sorted(set(gold))}
    return {label.strip(): sum(hit) / len(hit) for label, hit in hits.items()}
