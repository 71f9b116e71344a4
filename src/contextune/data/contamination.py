"""Do test items occur in the training texts? Overlap of word n-grams, n = 13 as in GPT-3.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: an item is dirty where one of its
13-grams of normalised words occurs in the training data. A shorter item has to occur whole.

Scripts without spaces are read by characters, each of which counts for a part of a word (`core.text.weight`): from
every place the shortest run that weighs n words, which is 20 Chinese characters or 39 of the Thai script for n = 13.
Where all units are words these are the n-grams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain, islice, repeat
from typing import Any

import numpy as np
import regex

from contextune.core.errors import UserError
from contextune.core.lazy import Lazy
from contextune.core.parallel import mapped
from contextune.core.text import WORD, is_character, normal, size, units_of, weight
from contextune.core.text import units as words

SHORTEST = 5
"""Words below which an item says too little to be looked for."""

SOME = 256
"""Texts that are sifted at once."""
BLOCK = 4096
"""Texts of a large corpus that one process looks through at a time."""

MOST = 1 << 19
"""Parts of texts that are remembered; beyond it they are forgotten, and looked at anew."""

_LABEL = regex.compile(r"^\s*[\w\p{M} ]{1,20}(?:[:.)]\s+|[：．）]\s*)")


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

    def __add__(self, other: Overlap) -> Overlap:
        """Of two sets of items."""
        return Overlap(self.checked + other.checked, self.hits + other.hits, self.unchecked + other.unchecked)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(hit.item for hit in self.hits)


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
    sought: dict[int, dict[str, list[int]]] = {}  # weight -> gram -> items that hold it
    for name, text in items:
        found = _Text.of(text)
        if found.weight < SHORTEST * WORD:
            short.append(name)
            continue
        least = min(n * WORD, found.weight)
        for gram in set(found.grams(least)):
            sought.setdefault(least, {}).setdefault(gram, []).append(len(names))
        names.append(name)
    if isinstance(train_texts, Lazy):
        blocks = [range(at, min(at + BLOCK, len(train_texts))) for at in range(0, len(train_texts), BLOCK)]
        parts = list(mapped(partial(_look_at, train_texts, sought), blocks))
        hits = {item: hit for part in reversed(parts) for item, hit in part.items()}
    else:
        hits = _look(train_texts, sought)
    dirty = {names[i]: Hit(names[i], *hits[i]) for i in sorted(hits, reverse=True)}
    hit = tuple(dirty[name] for name in dict.fromkeys(names) if name in dirty)
    return Overlap(len(set(names)), hit, tuple(n for n in dict.fromkeys(short) if n not in set(names)))


def wordings(prompt: str, gold: str, least: int = 8) -> Iterator[str]:
    """What of an item to look for: prompt and answer together, and each line of the prompt of at least 8 words.

    A template's label in front of a line ("Question:") is left out, since training texts have templates of their own.
    """
    yield f"{prompt} {gold}"  # a generated answer comes without the space before it
    for line in prompt.splitlines():
        bare = _LABEL.sub("", line)
        if size(words(bare)) >= least:
            yield bare


Sought = Mapping[int, Mapping[str, Seq[int]]]
"""weight -> gram -> the items that hold it."""


def _look_at(texts: Seq[tuple[str, str]], sought: Sought, places: range) -> dict[int, tuple[str, str]]:
    return _look((texts[i] for i in places), sought)


def _look(texts: Iterable[tuple[str, str]], sought: Sought) -> dict[int, tuple[str, str]]:
    """Item -> (first text that holds a gram of it, that gram)."""
    hits: dict[int, tuple[str, str]] = {}
    sieve, rest = _Sieve(sought), iter(texts)
    while block := list(islice(rest, SOME)):
        for place in sieve.suspects([text for _, text in block]):
            name, text = block[place]
            found = _Text.of(text)
            for least, grams in sought.items():
                for gram in found.grams(least):
                    if gram in grams:
                        for item in grams[gram]:
                            hits.setdefault(item, (name, gram))
    return hits


class _Sieve:
    """Which texts may hold a gram that is sought: those where a hash of so many words in a row is that of one.

    h(w_0 … w_n-1) = Σ_j c(w_j) P^j  mod 2^64, for all places of many texts at once; a word that no gram has is c_0.
    """

    def __init__(self, sought: Sought) -> None:
        self.words: dict[str, int] = {}
        rows: dict[int, list[list[int]]] = {}
        for grams in sought.values():
            for gram in grams:
                row = [self.words.setdefault(w, len(self.words) + 1) for w in gram.split(" ")]
                rows.setdefault(len(row), []).append(row)
        self.parts = _Parts(self.words)
        draws = np.random.default_rng(0)
        self.codes = draws.integers(0, 1 << 64, len(self.words) + 1, np.uint64)
        self.base = np.uint64(0x9E3779B97F4A7C15)
        self.hashes = {n: np.unique(self._rolled(self.codes[np.array(r)].T)) for n, r in rows.items()}
        self.sieve = np.zeros(1 << 22, np.bool_)
        for hashes in self.hashes.values():
            self.sieve[hashes >> np.uint64(42)] = True

    def _rolled(self, codes: Any) -> Any:
        """The hash of each column of `codes`."""
        power = np.uint64(1)
        total: Any = np.zeros(codes.shape[1], np.uint64)
        with np.errstate(over="ignore"):
            for row in codes:
                total += row * power
                power = power * self.base
        return total

    def suspects(self, texts: Seq[str]) -> list[int]:
        """Places of texts to be looked at word by word; all those of scripts that have no words are among them."""
        ids, ends, found = list[int](), list[int](), set[int]()
        for place, text in enumerate(texts):
            coded = list(map(self.parts.__getitem__, normal(text).split(" ")))
            if not text.isascii() and _SPACELESS in coded:
                found.add(place)
            else:
                ids.extend(chain.from_iterable(coded))
            ids.append(0)
            ends.append(len(ids))
        codes = self.codes[np.array(ids, np.int64)]
        power = np.uint64(1)
        total: Any = np.zeros(len(codes), np.uint64)
        with np.errstate(over="ignore"):
            for n in range(1, min(max(self.hashes, default=0), len(codes)) + 1):
                total = total[: len(codes) - n + 1] + codes[n - 1 :] * power
                power = power * self.base
                if n in self.hashes:
                    at = np.flatnonzero(self.sieve[total >> np.uint64(42)])
                    at = at[np.isin(total[at], self.hashes[n])]
                    found.update(np.searchsorted(ends, at, "right").tolist())
        return sorted(found)


_SPACELESS = (-1,)
"""Instead of numbers, where a part holds a script without spaces."""


class _Parts(dict[str, tuple[int, ...]]):
    """What stands between two spaces -> the numbers of its words, 0 for one that no gram has; or _SPACELESS."""

    def __init__(self, words: Mapping[str, int]) -> None:
        self.words = words

    def __missing__(self, part: str) -> tuple[int, ...]:
        if len(self) >= MOST:
            self.clear()
        found = units_of(part)
        spaceless = any(map(is_character, found))
        self[part] = made = _SPACELESS if spaceless else tuple(map(self.words.get, found, repeat(0)))
        return made


@dataclass(frozen=True, slots=True)
class _Text:
    """The units of a text as one string, which is sliced several times faster than units are joined.

    `starts` and `ends` are their places in it, `before` the weight of all units before each, and of all.
    """

    joined: str
    starts: list[int]
    ends: list[int]
    before: list[int]

    @classmethod
    def of(cls, text: str) -> _Text:
        found = words(text)
        parts, starts, at, spaced = list[str](), list[int](), 0, False
        for unit in found:
            beside, spaced = spaced, not is_character(unit)
            if parts and (spaced or beside):
                parts.append(" ")
                at += 1
            starts.append(at)
            parts.append(unit)
            at += len(unit)
        ends = [start + len(unit) for start, unit in zip(starts, found, strict=True)]
        return cls("".join(parts), starts, ends, list(accumulate(map(weight, found), initial=0)))

    @property
    def weight(self) -> int:
        return self.before[-1]

    def grams(self, least: int) -> Iterator[str]:
        """From every unit the shortest run that weighs `least`, in thirds of words."""
        last, end = 0, len(self.starts)
        for first in range(end):
            while self.before[last] < self.before[first] + least:
                if last == end:
                    return
                last += 1
            yield self.joined[self.starts[first] : self.ends[last - 1]]
