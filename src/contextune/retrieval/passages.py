"""Passages in front of a text: the most similar ones, which of them fit, whole, and whether they hold what is looked
for."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq

from contextune.core.encoding import count
from contextune.core.sequence import Tokenizer
from contextune.core.text import normal

from .neighbours import nearest
from .space import Space

SHINGLE = 8
"""Words in a row by which a passage is known in texts that were cut elsewhere."""


def most_similar(space: Space, passages: Seq[str], k: int) -> list[list[str]]:
    """For each query of a space of `passages` at most k of them, best first; one whose similarity is 0 is left out."""
    near = nearest(space, min(k, len(passages)), lambda row, places, scores: scores <= 0)
    return [[passages[place] for place, _ in near.of(row)] for row in range(space.shape[0])]


def laid_out(passages: Iterable[str], separator: str) -> str:
    """The passages as one context, each with `separator` after it."""
    return "".join(text.strip() + separator for text in passages)


def fitting(ranked: Seq[str], room: int, separator: str, tokenizer: Tokenizer) -> list[int]:
    """Places of the passages that fit into `room` tokens, in their order; one that does not is left out whole."""
    taken: list[int] = []
    for place in range(len(ranked)):
        if count(laid_out((ranked[i] for i in (*taken, place)), separator), tokenizer) <= room:
            taken.append(place)
    return taken


def holds(texts: Iterable[str], passage: str) -> bool:
    """Whether the texts have half or more of a passage's runs of words, wherever each of them was cut."""
    words = normal(passage).split()
    wanted = _shingles(words, SHINGLE)
    found = {s for text in texts for s in _shingles(normal(text).split(), min(SHINGLE, len(words)))}
    return bool(wanted) and 2 * len(wanted & found) >= len(wanted)


def _shingles(words: Seq[str], size: int) -> set[tuple[str, ...]]:
    n = max(1, min(size, len(words)))
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)} if words else set()
