"""Which prompts ask the same question, and what all prompts of a task have around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Seq
from itertools import takewhile

from contextune.core.text import key as normal
from contextune.retrieval.space import words

__all__ = ["Questions", "bare", "normal"]

NEAR = 0.9
"""Share of words in common from which two questions with one answer are copies; the contexts' `duplicate_threshold`."""


class Questions:
    """What prompts ask and what the answers are, so that no item stands among its own examples.

    As the contexts' guard has it: the same prompt in the normal form, or nearly the same words with the same answer.
    """

    def __init__(self, prompts: Seq[str], answers: Seq[str]) -> None:
        self._keys = [normal(p) for p in prompts]
        self._answers = [normal(a) for a in answers]
        self._words = [Counter(words(p)) for p in bare(prompts)]

    def copies(self, a: int, b: int) -> bool:
        """Whether two of them, by place, are one question."""
        return self._keys[a] == self._keys[b] or (self._answers[a] == self._answers[b] and self._alike(a, b) >= NEAR)

    def _alike(self, a: int, b: int) -> float:
        one, other = self._words[a], self._words[b]
        return (one & other).total() / max(one.total(), other.total(), 1)


def bare(prompts: Seq[str]) -> list[str]:
    """Prompts without the words that all of them begin and end with (a template's "Question:" and "Answer:")."""
    if len(set(prompts)) < 2:
        return [p.strip() for p in prompts]
    before = _common(prompts)
    after = _common([p[::-1] for p in prompts])[::-1]
    head = max((before.rfind(mark) + 1 for mark in " \n:"), default=0)
    tails = [at for mark in " \n" if (at := after.find(mark)) >= 0]
    tail = len(after) - min(tails) if tails else 0
    return [p[head : max(len(p) - tail, head)].strip() for p in prompts]


def _common(texts: Seq[str]) -> str:
    """What all begin with: what the first and the last of them in order do."""
    first, last = min(texts), max(texts)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
