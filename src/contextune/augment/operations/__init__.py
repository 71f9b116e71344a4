"""The operations that come with the package; importing a file registers what it holds."""

from . import (
    active_reading,
    conclusions,
    deductions,
    implications,
    link,
    questions,
    reading,
    relations,
    repeat,
    rephrase,
    restate,
    reversal,
    reversed_strings,
)

__all__ = [
    "active_reading",
    "conclusions",
    "deductions",
    "implications",
    "link",
    "questions",
    "reading",
    "relations",
    "repeat",
    "rephrase",
    "restate",
    "reversal",
    "reversed_strings",
]
