"""Texts that were made already, or that the originals hold already; exactly, or nearly so by MinHash.

Candidates come from datasketch's index over runs of words; the exact Jaccard similarity of the runs
then decides, so that chance in the hashes can only overlook a near-duplicate, never invent one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import Any

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record

from ..base import Inferred
from .base import Filter, Judge
from .text import names, normal, sentences, whole, words

PERMUTATIONS = 128


@registry.filters("duplicate")
class Duplicate(Filter):
    """Of equal texts the first stays. Texts count as near-duplicates where the sets of their runs of `run` words are
    `threshold` alike (Jaccard) and they name the same things in the same order: "Kalo is brighter than Mido" is no
    near-duplicate of what says so of Rune. A threshold of 1 refuses exact duplicates only."""

    threshold: float = Field(0.8, gt=0, le=1, description="similarity (MinHash) from which two texts are one")
    run: int = Field(3, ge=1, le=1000, description="words in a row that are compared")
    originals: bool = Field(True, description="compare with the records that were augmented, too")

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            seen, near = dict[str, str](), _Near(self.threshold, self.run)
            if self.originals:
                for text in _originals(context.records):
                    seen.setdefault(normal(text), "of an original")
                    near.add(text, "of an original")
            return [self._reason(whole(m), seen, near) for m in made]

        return judge

    def _reason(self, text: str, seen: dict[str, str], near: _Near) -> str:
        form = normal(text)
        if form in seen:
            return f"duplicate {seen[form]}"
        if alike := near.find(text):
            return f"near-duplicate {alike}"
        seen[form] = "of a made text"
        near.add(text, "of a made text")
        return ""


def _originals(records: Iterable[Record]) -> Iterator[str]:
    """Each record whole, and each of its sentences."""
    for record in records:
        text = "".join(s.text for s in record.segments)
        yield text
        if len(parts := sentences(text)) > 1:
            yield from parts


class _Near:
    """Texts by the runs of words in them."""

    def __init__(self, threshold: float, run: int) -> None:
        from datasketch import MinHash, MinHashLSH

        self.threshold, self.run, self.hash = threshold, run, MinHash
        # weights: a candidate too many costs one comparison, one too few is a duplicate kept
        least = min(threshold, 0.9)  # datasketch has no index for a threshold near 1
        self.index: Any = MinHashLSH(threshold=least, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
        self.kept: list[tuple[frozenset[str], tuple[str, ...], str]] = []

    def add(self, text: str, what: str) -> None:
        if self.threshold < 1 and (runs := self._runs(text)):
            self.index.insert(len(self.kept), self._sketch(runs))
            self.kept.append((runs, names(text), what))

    def find(self, text: str) -> str:
        """What the first one is that is alike, "" where there is none."""
        if self.threshold >= 1 or not (runs := self._runs(text)):
            return ""
        found: list[int] = self.index.query(self._sketch(runs))
        for i in sorted(found):
            other, named, what = self.kept[i]
            if len(runs & other) >= self.threshold * len(runs | other) and named == names(text):
                return what
        return ""

    def _runs(self, text: str) -> frozenset[str]:
        said = words(text)
        return frozenset(" ".join(said[i : i + self.run]) for i in range(max(1, len(said) - self.run + 1)) if said)

    def _sketch(self, runs: frozenset[str]) -> object:
        sketch = self.hash(num_perm=PERMUTATIONS)
        sketch.update_batch([r.encode() for r in sorted(runs)])
        return sketch
