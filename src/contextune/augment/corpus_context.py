"""What of the corpus stands in a prompt beside the target document, within a budget of tokens.

all          the whole corpus; an error where it does not fit
neighbours   documents most like the target: BM25 over words, and names that they share
sample       a seeded subsample, the same for every target, so that its beginning is computed once
auto         all where it fits, else neighbours
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from functools import cached_property
from typing import Literal

from contextune.core.errors import UserError

from .base import Passage
from .entity_names import shared

CorpusForm = Literal["auto", "all", "neighbours", "sample"]
NAME = 10.0
"""What a shared name counts, in units of BM25: more than any common word."""


class CorpusContext:
    """`size` counts the tokens of a text; documents with the same text count once."""

    def __init__(self, corpus: Seq[Passage], how: CorpusForm, size: Callable[[str], int], seed: int = 0) -> None:
        self.corpus = list({p.text.strip(): p for p in reversed(corpus)}.values())[::-1]
        self.how, self.size, self.seed = how, size, seed

    def of(self, target: Passage, room: int) -> list[Passage]:
        """Documents for a target in the corpus' order, of at most `room` tokens together.

        Raises UserError where the whole corpus is asked for and does not fit.
        """
        if self.how in ("auto", "all") and self._total <= room:
            return self.corpus
        if self.how == "all":
            raise UserError(
                f"context: all: the corpus has {self._total:,} tokens, the writer has room for {room:,}",
                "use context: neighbours or sample, or a writer with a longer context",
            )
        ranked = self._sample if self.how == "sample" else self._neighbours(target)
        kept, left = set[int](), room
        for i in ranked:
            if self._sizes[i] <= left:
                kept.add(i)
                left -= self._sizes[i]
        return [p for i, p in enumerate(self.corpus) if i in kept]

    @cached_property
    def _sizes(self) -> list[int]:
        return [self.size(f"{p.text.strip()}\n") for p in self.corpus]

    @cached_property
    def _total(self) -> int:
        return sum(self._sizes)

    @cached_property
    def _sample(self) -> list[int]:
        return random.Random(self.seed).sample(range(len(self.corpus)), len(self.corpus))

    def _neighbours(self, target: Passage) -> Iterable[int]:
        """Places in the corpus, the most alike first; the target itself is none of them."""
        own = shared(target.text, [p.text for p in self.corpus])
        scores = [NAME * n + s for n, s in zip(own, self._bm25(target.text), strict=True)]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return [i for i in order if self.corpus[i].text.strip() != target.text.strip() and scores[i] > 0]

    def _bm25(self, text: str) -> list[float]:
        query = _words(text)
        known = [w for w in dict.fromkeys(query) if w in self._vocabulary]
        return [float(s) for s in self._index.get_scores(known)] if known else [0.0] * len(self.corpus)

    @cached_property
    def _vocabulary(self) -> set[str]:
        return {w for p in self.corpus for w in _words(p.text)}

    @cached_property
    def _index(self):  # type: ignore[no-untyped-def]  # bm25s has no types
        import bm25s

        index = bm25s.BM25()
        index.index([_words(p.text) or [""] for p in self.corpus], show_progress=False)
        return index


def _words(text: str) -> list[str]:
    return "".join(c.lower() if c.isalnum() else " " for c in text).split()
