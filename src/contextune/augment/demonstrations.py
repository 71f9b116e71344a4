"""Texts that a writer copied from the worked cases of its own prompt, and that are about these, not about the passage.

The lighthouse at Pell Sound was designed by Orla Vance.      a demonstration again
The lighthouse was built in 1962 by Orla Vance.               names what only a demonstration names
The grease is heavier than glimmer sand.                      words of a demonstration, in its order
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq

from contextune.core.binding import BindContext

from .base import Inferred
from .entity_names import names
from .filters.base import Filter, Judge
from .filters.text import normal, stop_words, whole, words

LEAST = 10
"""Characters from which a part of a demonstration counts as one."""
RUN = 3
"""Words in a row that may come from a demonstration, where two of them are content words that the source lacks."""


def copied(text: str, source: str, shown: Seq[str]) -> str:
    """Why a text is taken for a copy of the demonstrations `shown`; "" where its source has what it says."""
    form, told = normal(text), normal(source)
    known = set(words(source))
    runs = {run for s in shown for run in _runs(words(s))}
    if any(_same(form, normal(s)) for s in shown) and form not in told:
        return "a demonstration of the prompt"
    strange = {n for s in shown for n in names(s) if not set(words(n)) <= known and _within(n, s)}
    if named := sorted(strange & {*names(text)}):
        return f"names what only a demonstration names: {', '.join(named)}"
    for run in _runs(words(text)):
        if run in runs and sum(w not in known and w not in stop_words() for w in run) > 1:
            return f"words of a demonstration: {' '.join(run)}"
    return ""


class NoDemonstrations(Filter):
    """Always the first filter, where a prompt shows demonstrations."""

    name = "demonstrations"

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            return [copied(whole(m), source(m), m.shown) if m.shown else "" for m in made]

        return judge


def source(made: Inferred) -> str:
    """All that a text may speak of."""
    return "\n".join((made.passage.before, made.passage.text, made.read))


def _same(a: str, b: str) -> bool:
    """Whether one is the other, or the shorter, if it is no mere word, stands in the longer."""
    short, long = sorted((a, b), key=len)
    return a == b or (len(short) >= LEAST and re.search(rf"(?<!\w){re.escape(short)}(?!\w)", long) is not None)


def _within(name: str, text: str) -> bool:
    """Whether a name is more than a word that begins a sentence."""
    return " " in name or re.search(rf"[\w,;] {re.escape(name)}\b", text) is not None


def _runs(said: Seq[str]) -> list[tuple[str, ...]]:
    return [tuple(said[i : i + RUN]) for i in range(len(said) - RUN + 1)]
