"""BM25 of a document for a query, divided by the query's score for itself.

    s(a | b) = BM25(query = b, document = a) / BM25(query = b, document = b), clipped to [0, 1]

The pool alone decides a word's weight and the mean length. A word that the pool does not know weighs
most: a query full of them is like nothing there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from .similarity import Similarity
from .space import Floats, Rows, Space, words


@registry.similarities("lexical")
class Lexical(Similarity):
    """Words in common, rare ones more than frequent ones."""

    k1: float = Field(1.5, gt=0, le=1000, description="how soon a repeated word stops counting")
    b: float = Field(0.75, ge=0, le=1, description="how much long documents lose")
    symmetric: bool = Field(False, description="the larger of s(a|b) and s(b|a)")

    def fit(self, queries: Seq[str], documents: Seq[str], context: BindContext | None = None) -> LexicalSpace:
        """The space of a pool. `queries` may stand in the pool or not."""
        pool = [words(text) for text in documents]
        scale = Bm25.of(pool, self.k1, self.b)
        asked = [words(text) for text in queries]
        return LexicalSpace(
            scale.asking(asked),
            _indexed(pool, scale),
            scale,
            scale.documents(asked) if self.symmetric else None,
            scale.asking(pool) if self.symmetric else None,
        )


@dataclass(frozen=True)
class LexicalSpace(Space):
    scale: Bm25
    asked_as_documents: Any = None
    pool_as_queries: Any = None

    def finish(self, product: Floats, rows: Rows, columns: Rows) -> Floats:
        if self.asked_as_documents is None:
            return product
        back = (self.asked_as_documents[rows] @ self.pool_as_queries[columns].T).toarray()
        larger: Floats = np.maximum(product, back.astype(np.float32))
        return larger

    def outside(self, row: int, text: str) -> float:
        there = words(text)
        forth = (self.queries[[row]] @ self.scale.documents([there]).T)[0, 0]
        back = 0.0
        if self.asked_as_documents is not None:
            back = (self.asked_as_documents[[row]] @ self.scale.asking([there]).T)[0, 0]
        return float(min(1.0, max(forth, back)))


@dataclass(frozen=True)
class Bm25:
    """What a pool says of words: their places, how rare they are, how long a document is."""

    places: Mapping[str, int]
    found_in: Mapping[str, int]
    size: int
    mean: float
    k1: float
    b: float

    @classmethod
    def of(cls, pool: Seq[Seq[str]], k1: float, b: float) -> Bm25:
        found_in = Counter(word for text in pool for word in set(text))
        mean = sum(map(len, pool)) / max(1, len(pool))
        return cls({w: i for i, w in enumerate(found_in)}, found_in, len(pool), mean or 1.0, k1, b)

    def weights(self, text: Seq[str]) -> dict[str, float]:
        """BM25 weight (Robertson's tf, Lucene's idf) of each word of a document, in the pool or not."""
        full = self.k1 * (1 - self.b + self.b * len(text) / self.mean)
        return {w: self._rarity(w) * n / (n + full) for w, n in Counter(text).items()}

    def _rarity(self, word: str) -> float:
        df = self.found_in.get(word, 0)
        return float(np.log1p((self.size - df + 0.5) / (df + 0.5)))

    def asking(self, texts: Seq[Seq[str]]) -> Any:
        """Sparse [texts, words]: how often each word is asked for, over the score of the text for itself."""
        rows = []
        for text in texts:
            counts, weights = Counter(text), self.weights(text)
            own = sum(n * weights[w] for w, n in counts.items()) or 1.0
            rows.append({w: n / own for w, n in counts.items()})
        return self._sparse(rows)

    def documents(self, texts: Seq[Seq[str]]) -> Any:
        """Sparse [texts, words] of weights."""
        return self._sparse([self.weights(text) for text in texts])

    def _sparse(self, rows: Seq[Mapping[str, float]]) -> Any:
        from scipy.sparse import csr_array

        cells = [(i, self.places[w], v) for i, row in enumerate(rows) for w, v in row.items() if w in self.places]
        i, j, v = zip(*cells, strict=True) if cells else ((), (), ())
        return csr_array((np.array(v, np.float32), (i, j)), shape=(len(rows), len(self.places)))


def _indexed(pool: Seq[Seq[str]], scale: Bm25) -> Any:
    """The pool's weights as bm25s computes them, by rows: fast for large pools."""
    import bm25s
    from scipy.sparse import csc_array

    if not scale.places:
        return scale.documents(pool)
    index = bm25s.BM25(k1=scale.k1, b=scale.b, method="lucene")
    index.index(([[scale.places[w] for w in text] for text in pool], dict(scale.places)), show_progress=False)
    s = index.scores
    shape = (len(pool), len(scale.places))
    columns = np.asarray(s["indptr"])[: shape[1] + 1]
    return csc_array((np.asarray(s["data"]), np.asarray(s["indices"]), columns), shape=shape).tocsr()
