"""Words in common, each as often as it stands in both texts, over the words that there are.

    longest   common / words of the longer text     exact for the worlds `slots` and `cipher`
    f1        2 common / words of both
    jaccard   common / words of either

What every text of the pool begins and ends with, such as "input:" and "output:", is the frame that texts
stand in; it says nothing about them and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import numpy as np
from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from .similarity import Similarity
from .space import Floats, Rows, Space, chunks

Frame = tuple[int, int]
"""Words that all texts begin and end with."""


@registry.similarities("overlap")
class WordOverlap(Similarity):
    """The share of words in common."""

    over: Literal["longest", "f1", "jaccard"] = Field("longest", description="what the words in common are divided by")

    def fit(self, queries: Seq[str], documents: Seq[str], context: BindContext | None = None) -> OverlapSpace:
        pool = [chunks(text) for text in documents]
        cut = frame(pool)
        asked = [_within(chunks(text), cut) for text in queries]
        pool = [_within(text, cut) for text in pool]
        places = {cell: i for i, cell in enumerate(dict.fromkeys(c for text in pool for c in _cells(text)))}
        sizes = tuple(np.array([len(t) for t in texts], np.float32) for texts in (asked, pool))
        return OverlapSpace(
            _binary(asked, places),
            _binary(pool, places),
            self.over,
            (sizes[0], sizes[1]),
            cut,
            tuple(map(tuple, asked)),
        )


@dataclass(frozen=True)
class OverlapSpace(Space):
    over: str
    sizes: tuple[Floats, Floats]
    cut: Frame
    asked: tuple[tuple[str, ...], ...]

    def finish(self, product: Floats, rows: Rows, columns: Rows) -> Floats:
        shares: Floats = _share(product, self.sizes[0][rows][:, None], self.sizes[1][columns][None, :], self.over)
        return shares

    def outside(self, row: int, text: str) -> float:
        a, b = self.asked[row], _within(chunks(text), self.cut)
        common = (Counter(a) & Counter(b)).total()
        return float(_share(np.float32(common), np.float32(len(a)), np.float32(len(b)), self.over))


def _share(common: Any, a: Any, b: Any, over: str) -> Any:
    whole = {"longest": np.maximum(a, b), "f1": (a + b) / 2, "jaccard": a + b - common}[over]
    return common / np.maximum(whole, 1.0)


def frame(pool: Seq[Seq[str]]) -> Frame:
    """Words that all of several different texts begin with, and end with."""
    different = {tuple(text) for text in pool}
    if len(different) < 2:
        return 0, 0
    shortest = min(map(len, different))
    ahead = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*different, strict=False)))
    reverse = [text[::-1] for text in different]
    behind = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*reverse, strict=False)))
    ahead = min(ahead, shortest)
    return ahead, min(behind, shortest - ahead)


def _within(text: list[str], cut: Frame) -> list[str]:
    return text[cut[0] : len(text) - cut[1]]


def _cells(text: Seq[str]) -> list[tuple[str, int]]:
    """The nth occurrence of a word is a thing of its own, so that sets count like bags."""
    seen = Counter[str]()
    cells = []
    for word in text:
        cells.append((word, seen[word]))
        seen[word] += 1
    return cells


def _binary(texts: Seq[Seq[str]], places: dict[tuple[str, int], int]) -> Any:
    from scipy.sparse import csr_array

    cells = [(i, places[c]) for i, text in enumerate(texts) for c in _cells(text) if c in places]
    i, j = zip(*cells, strict=True) if cells else ((), ())
    return csr_array((np.ones(len(cells), np.float32), (i, j)), shape=(len(texts), max(1, len(places))))
