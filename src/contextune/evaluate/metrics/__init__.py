"""Metrics: one class each, known by name."""

from contextune.core.registry import import_modules

from .answers import answers, choose, read_output
from .metric import Grade, ItemMetric, Metric
from .summary import check, evaluate, find, known, majority, recall, summary

import_modules(__name__, __path__)

__all__ = [
    "Grade",
    "ItemMetric",
    "Metric",
    "answers",
    "check",
    "choose",
    "evaluate",
    "find",
    "known",
    "majority",
    "read_output",
    "recall",
    "summary",
]
