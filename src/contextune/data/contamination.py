"""Do test items occur in the training texts? Overlap of word n-grams, n = 13 as in GPT-3.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: an item is dirty where one of its
13-grams of normalised words occurs in the training data. A shorter item has to occur whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contextune.core.errors import UserError

SHORTEST = 5
"""Words below which an item says too little to be looked for."""

_LABEL = re.compile(r"^\s*[\w ]{1,20}[:.)]\s+")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """The item, the first training text that it shares words with, and those words, normalised."""

    item: str
    text: str
    words: str


@dataclass(frozen=True, slots=True)
class Overlap:
    checked: int
    hits: tuple[Hit, ...]
    """In the order of the items, one an item."""
    unchecked: tuple[str, ...] = ()
    """Ids of items too short to be looked for."""

    @property
    def share(self) -> float:
        """Items found in a training text, of those checked."""
        return len(self.hits) / self.checked if self.checked else 0.0

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(hit.item for hit in self.hits)


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return _WORD.findall(text.lower())


def overlap(train_texts: Iterable[tuple[str, str]], items: Iterable[tuple[str, str]], n: int = 13) -> Overlap:
    """Which of `items` (id, text) share `n` words in a row with one of `train_texts` (id, text).

    An item of fewer than `n` but at least 5 words is hit where all of it occurs; a shorter one is not
    checked. An item may come several times, with different wordings: one that occurs is enough. Time grows with
    the words of both sides, not with their product.
    """
    if n < SHORTEST:
        raise UserError(f"overlap of {n} words says nothing, at least {SHORTEST} are needed", "the usual n is 13")
    names: list[str] = []
    short: list[str] = []
    sought: dict[int, dict[str, list[int]]] = {}  # length in words -> gram -> items that hold it
    for name, text in items:
        found = words(text)
        if len(found) < SHORTEST:
            short.append(name)
            continue
        size = min(n, len(found))
        for gram in set(_grams(found, size)):
            sought.setdefault(size, {}).setdefault(gram, []).append(len(names))
        names.append(name)
    hits = _look(train_texts, sought)
    dirty = {names[i]: Hit(names[i], *hits[i]) for i in sorted(hits, reverse=True)}
    hit = tuple(dirty[name] for name in dict.fromkeys(names) if name in dirty)
    return Overlap(len(set(names)), hit, tuple(n for n in dict.fromkeys(short) if n not in set(names)))


def wordings(prompt: str, gold: str, least: int = 8) -> Iterator[str]:
    """What of an item to look for: prompt and answer together, and each line of the prompt of at least 8 words.

    A template's label in front of a line ("Question:") is left out, since training texts have templates of their own.
    """
    yield f"{prompt}{gold}"
    for line in prompt.splitlines():
        bare = _LABEL.sub("", line)
        if len(words(bare)) >= least:
            yield bare


def _look(texts: Iterable[tuple[str, str]], sought: dict[int, dict[str, list[int]]]) -> dict[int, tuple[str, str]]:
    """Item -> (first text that holds a gram of it, that gram)."""
    hits: dict[int, tuple[str, str]] = {}
    for name, text in texts:
        found = words(text)
        for size, grams in sought.items():
            for gram in _grams(found, size):
                if gram in grams:
                    for item in grams[gram]:
                        hits.setdefault(item, (name, gram))
    return hits


def _grams(found: list[str], size: int) -> Iterable[str]:
    """Slices of one joined string: several times faster than joining each."""
    joined, ends, at = " ".join(found), [], -1
    for word in found:
        ends.append(at := at + 1 + len(word))
    starts = [0, *(end + 1 for end in ends[:-1])]
    return (joined[starts[i] : ends[i + size - 1]] for i in range(len(found) - size + 1))
