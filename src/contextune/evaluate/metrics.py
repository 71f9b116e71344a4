"""Metrics by name, all computed from a task's outcomes and nothing else.

A metric is a function of item weights: ones give its value, counts of a resample its bootstrap replicate. F1, recall
and the correlation coefficient come from weighted confusion counts, so that thousands of resamples cost one matrix
product; they equal scikit-learn's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import UserError, nearest
from . import sql, texts, trees

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]
    Estimator = Callable[[Array], Array]
    """Item weights (…, n) to values (…)."""


@dataclass(frozen=True)
class Metric:
    """`of` reads outcomes (columns as in docs/architecture.md) and gives the function of item weights."""

    name: str
    kinds: tuple[str, ...]
    of: Callable[[Mapping[str, Seq[Any]]], Estimator]
    higher_is_better: bool = True


def find(name: str) -> Metric:
    """UserError with the nearest name where there is none."""
    if name not in METRICS:
        raise UserError(f"unknown metric '{name}'", nearest(name, METRICS))
    return METRICS[name]


def check(name: str, kind: str, where: str) -> None:
    """Raises UserError where a metric is unknown or says nothing of this kind of task."""
    suited = [m.name for m in METRICS.values() if kind in m.kinds]
    if name not in METRICS:
        raise UserError(f"{where}: metric: unknown '{name}'", nearest(name, suited))
    if name not in suited:
        raise UserError(f"{where}: metric: '{name}' is not for tasks of kind {kind}", f"known: {', '.join(suited)}")


def evaluate(outcomes: Mapping[str, Seq[Any]], name: str) -> float:
    """A metric's value on all items."""
    import numpy as np

    return float(find(name).of(outcomes)(np.ones(len(outcomes["item"]))))


def summary(outcomes: Mapping[str, Seq[Any]], metric: str) -> dict[str, Any]:
    """Every metric that says something of these outcomes, and `recall` by class."""
    kind, gold = outcomes["kind"][0], outcomes["gold"]
    classes = metric in _OF_CLASSES or (
        any(outcomes["options"]) and len({frozenset(o) for o in outcomes["options"]}) == 1
    )
    wanted = [n for n, m in METRICS.items() if kind in m.kinds and (classes or n not in _OF_CLASSES)]
    if kind == "generate":
        labelled = any(outcomes["options"])
        wanted = [n for n in wanted if n not in _OF_FAMILIES or n in _FAMILIES.get(metric, ())]
        wanted = [n for n in wanted if labelled or n not in ("substring_choice", "missing")]
        wanted = [n for n in wanted if not labelled or n not in ("exact_match", "starts_with")]
    found: dict[str, Any] = {n: evaluate(outcomes, n) for n in dict.fromkeys((metric, *wanted))}
    return found | ({"recall": recall(gold, answers(outcomes, metric))} if classes else {})


def majority(outcomes: Mapping[str, Seq[Any]], metric: str) -> float | None:
    """What the metric gives where the most frequent gold answer is always given; None where it makes no sense."""
    if not find(metric).higher_is_better or metric in _GRADUAL:
        return None
    gold = list(outcomes["gold"])
    most = max(sorted(set(gold)), key=gold.count)
    constant = {**outcomes, "kind": ["generate"] * len(gold), "options": [[]] * len(gold), "output": [most] * len(gold)}
    return evaluate(constant, metric if metric in _OF_CLASSES else "exact_match")


def recall(gold: Seq[str], predicted: Seq[str | None]) -> dict[str, float]:
    """Share of each class's items that were recognised."""
    hits = {label: [p == g for g, p in zip(gold, predicted, strict=True) if g == label] for label in sorted(set(gold))}
    return {label.strip(): sum(hit) / len(hit) for label, hit in hits.items()}


# What was answered


def answers(outcomes: Mapping[str, Seq[Any]], metric: str) -> list[str | None]:
    """The answer of each item as this metric reads it; None where there is none."""
    columns = ("options", "sums", "tokens", "bytes", "output", "gold")
    rows = zip(*(outcomes[c] for c in columns), strict=True)
    if outcomes["kind"][0] == "choice":
        return [options[choose(metric, sums, tokens, bytes)] for options, sums, tokens, bytes, _, _ in rows]
    return [read_output(metric, output, gold, options) for options, _, _, _, output, gold in rows]


def choose(metric: str, sums: Seq[float], tokens: Seq[int], bytes: Seq[int]) -> int:
    """Index of the most likely option: by summed log-likelihood, or by its mean over tokens or bytes."""
    lengths = {"accuracy_token": tokens, "accuracy_byte": bytes}.get(metric, [1] * len(sums))
    means = [s / max(n, 1) for s, n in zip(sums, lengths, strict=True)]
    return means.index(max(means))


def read_output(metric: str, output: str, gold: str, options: Seq[str]) -> str | None:
    """What a generated text answers, in the gold answer's own spelling where it is that one.

    exact_match: the text without the space around it. starts_with: the same, and right where it begins with the gold
    answer as whole words, whatever the case. All others, where there are options: the first option that stands
    anywhere in the lower-cased text, else None (PIXIU's rule).
    """
    said, right = output.strip(), gold.strip()
    if options and metric not in ("exact_match", "starts_with"):
        found = next((o.strip() for o in options if o.strip().lower() in said.lower()), None)
        return gold if found is not None and found.lower() == right.lower() else found
    end = r"(?!\w)" if right[-1:].isalnum() else ""
    if metric == "starts_with" and re.match(re.escape(right) + end, said, re.IGNORECASE):
        return gold
    return gold if said == right else said


# Estimators


def _mean(values: Seq[float]) -> Estimator:
    import numpy as np

    column = np.asarray(values, dtype=np.float64)
    return lambda weights: weights @ column / weights.sum(-1)


def _accuracy(name: str) -> Callable[[Mapping[str, Seq[Any]]], Estimator]:
    return lambda outcomes: _mean(
        [float(a == g) for a, g in zip(answers(outcomes, name), outcomes["gold"], strict=True)]
    )


def _missing(outcomes: Mapping[str, Seq[Any]]) -> Estimator:
    return _mean([float(a is None) for a in answers(outcomes, "missing")])


def _counts(outcomes: Mapping[str, Seq[Any]]) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Weighted confusion counts (…, classes): hits, gold, predicted. The last class is all that is never gold."""
    import numpy as np

    golds = sorted(set(outcomes["gold"]))
    place = {label: i for i, label in enumerate(golds)}
    gold = np.array([place[g] for g in outcomes["gold"]])
    predicted = np.array([place.get(a or "", len(golds)) for a in answers(outcomes, "accuracy")])
    one_hot = np.eye(len(golds) + 1)
    hits = one_hot[gold] * (gold == predicted)[:, None]
    return lambda weights: (weights @ hits, weights @ one_hot[gold], weights @ one_hot[predicted])


def _f1(average: str) -> Callable[[Mapping[str, Seq[Any]]], Estimator]:
    """F1 of each class seen in gold, averaged by its share (weighted) or equally (macro)."""

    def of(outcomes: Mapping[str, Seq[Any]]) -> Estimator:
        counts = _counts(outcomes)

        def estimate(weights: Array) -> Array:
            hits, gold, predicted = counts(weights)
            f1 = 2 * hits / (gold + predicted).clip(min=1e-300)
            share = gold if average == "weighted" else (gold > 0).astype(float)
            averaged: Array = (f1 * share).sum(-1) / share.sum(-1)
            return averaged

        return estimate

    return of


def _mcc(outcomes: Mapping[str, Seq[Any]]) -> Estimator:
    """Matthews correlation for several classes (Gorodkin 2004); 0 where one side is constant."""
    import numpy as np

    counts = _counts(outcomes)

    def estimate(weights: Array) -> Array:
        hits, gold, predicted = counts(weights)
        n = gold.sum(-1)
        covariance = hits.sum(-1) * n - (gold * predicted).sum(-1)
        spread = (n**2 - (predicted**2).sum(-1)) * (n**2 - (gold**2).sum(-1))
        return np.where(spread > 0, covariance / np.sqrt(spread.clip(min=1e-300)), 0.0)

    return estimate


def _per(unit: str, finish: Callable[[Array], Array]) -> Callable[[Mapping[str, Seq[Any]]], Estimator]:
    """Negative log-likelihood of all texts together over their length in `unit`."""

    def of(outcomes: Mapping[str, Seq[Any]]) -> Estimator:
        import numpy as np

        nll = np.array([-sum(s) for s in outcomes["sums"]])
        length = np.array([sum(n) for n in outcomes[unit]], dtype=np.float64)
        return lambda weights: finish((weights @ nll) / (weights @ length))

    return of


def _exp(values: Array) -> Array:
    import numpy as np

    return np.exp(values)


def _same(equal: Callable[[str, str], bool]) -> Callable[[Mapping[str, Seq[Any]]], Estimator]:
    return lambda outcomes: _mean(
        [float(equal(o, g)) for o, g in zip(outcomes["output"], outcomes["gold"], strict=True)]
    )


def _graded(outcomes: Mapping[str, Seq[Any]]) -> Estimator:
    """The mean of what each item was found to be worth when it was scored (grading.py)."""
    return _mean(outcomes["correct"])


_GRADUAL = ("chrf", "bleu", "comet", "tree_f1")
"""Metrics of which the share of the most frequent answer says nothing."""
_FAMILIES = {
    "chrf": ("bleu",),
    "bleu": ("chrf",),
    "comet": ("chrf", "bleu"),
    "tree_match": ("tree_match_unordered", "tree_f1"),
    "tree_match_unordered": ("tree_match", "tree_f1"),
    "tree_f1": ("tree_match", "tree_match_unordered"),
    "execution": ("sql_match",),
}
"""What else is shown beside a metric that only some tasks can have."""
_OF_CLASSES = ("weighted_f1", "macro_f1", "mcc")
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", ("choice", "generate"), _accuracy("accuracy")),
        Metric("accuracy_token", ("choice",), _accuracy("accuracy_token")),
        Metric("accuracy_byte", ("choice",), _accuracy("accuracy_byte")),
        Metric("exact_match", ("generate",), _accuracy("exact_match")),
        Metric("chrf", ("generate",), texts.corpus("chrf")),
        Metric("bleu", ("generate",), texts.corpus("bleu")),
        Metric("comet", ("generate",), _graded),
        Metric("tree_match", ("generate",), _same(trees.equal)),
        Metric("tree_match_unordered", ("generate",), _same(partial(trees.equal, ordered=False))),
        Metric("tree_f1", ("generate",), trees.corpus_f1),
        Metric("sql_match", ("generate",), _same(lambda output, gold: sql.normal(output) == sql.normal(gold))),
        Metric("execution", ("generate",), _graded),
        Metric("starts_with", ("generate",), _accuracy("starts_with")),
        Metric("substring_choice", ("generate",), _accuracy("substring_choice")),
        Metric("weighted_f1", ("choice", "generate"), _f1("weighted")),
        Metric("macro_f1", ("choice", "generate"), _f1("macro")),
        Metric("mcc", ("choice", "generate"), _mcc),
        Metric("missing", ("generate",), _missing, higher_is_better=False),
        Metric("perplexity", ("perplexity",), _per("tokens", _exp), higher_is_better=False),
        Metric(
            "bits_per_byte", ("perplexity",), _per("bytes", lambda v: v / 0.6931471805599453), higher_is_better=False
        ),
    )
}
_OF_FAMILIES = ("chrf", "bleu", "comet", "tree_match", "tree_match_unordered", "tree_f1", "sql_match", "execution")
