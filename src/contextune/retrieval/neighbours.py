"""Who is nearest: the best k documents for each query, exactly, or by an index where the pool is very large.

Exact search multiplies blocks of queries with all documents and holds no more than `BYTES` of scores at
once; with 384 dimensions 100,000 queries in as many documents take minutes on one core, a million in a
million take hours. Ties are ordered by a seeded permutation of the documents, so that the order of a file
decides nothing. Where more than `LIMIT` documents are asked for by many queries, `PAIRS` of both, dense vectors
go to faiss or usearch (extra `index`), which may miss some neighbours; what they return is scored exactly.
Building an index costs as much as some 20,000 queries in all documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey

from .space import Floats, Space

BYTES = 256 << 20
LIMIT = 1_000_000
PAIRS = 2 * 10**10
Ints = NDArray[np.int64]
Refuse = Callable[[int, Ints, Floats], Any]
"""(query, documents, their scores) -> which of them it must not be shown (bool for each)."""


@dataclass(frozen=True)
class Neighbours:
    """`ids` [m, k] int64, -1 where there are fewer, and `scores` [m, k] float32, best first."""

    ids: Ints
    scores: Floats

    def of(self, row: int) -> list[tuple[int, float]]:
        pairs = zip(self.ids[row].tolist(), self.scores[row].tolist(), strict=True)
        return [(i, s) for i, s in pairs if i >= 0]


class Search(Protocol):
    """A way to find neighbours."""

    def __call__(self, space: Space, k: int, refuse: Refuse, seed: int = 0) -> Neighbours: ...


def nearest(space: Space, k: int, refuse: Refuse, seed: int = 0) -> Neighbours:
    """The best k documents of each query that are not refused; the way to search is chosen by the pool's size."""
    queries, documents = space.shape
    large = documents > LIMIT and queries * documents > PAIRS and isinstance(space.documents, np.ndarray)
    search: Search = indexed if large else exact
    return search(space, k, refuse, seed)


def exact(space: Space, k: int, refuse: Refuse, seed: int = 0) -> Neighbours:
    """By matrix product, in blocks of queries."""
    m, n = space.shape
    found = _empty(m, k)
    rank, every = _ranks(n, seed), np.arange(n)
    block = max(1, BYTES // max(1, n * 4 * 3))  # the product, its finished form, and the clipped one
    for start in range(0, m, block):
        scores = space.scores(slice(start, min(start + block, m)))
        for row, own in enumerate(scores, start):
            own[refuse(row, every, own)] = -1.0
            _best(found, row, every, own, rank, k)
    return found


def indexed(space: Space, k: int, refuse: Refuse, seed: int = 0, more: int = 64) -> Neighbours:
    """By an index over dense vectors; `more` candidates are asked for, since some are refused."""
    m, n = space.shape
    found, rank = _empty(m, k), _ranks(n, seed)
    candidates = _candidates(space, min(n, k + more))
    for row in range(m):
        ids = np.asarray([i for i in candidates[row].tolist() if i >= 0], np.int64)
        own = space.scores([row], ids.tolist())[0]
        own[refuse(row, ids, own)] = -1.0
        _best(found, row, ids, own, rank, k)
    return found


def _candidates(space: Space, k: int) -> Ints:
    """Ids [m, k] by faiss where it is installed, else by usearch."""
    try:
        import faiss
    except ImportError:
        return _by_usearch(space, k)
    index = faiss.IndexHNSWFlat(space.documents.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = max(128, 2 * k)
    index.add(space.documents)
    return np.asarray(index.search(np.ascontiguousarray(space.queries), k)[1], np.int64)


def _by_usearch(space: Space, k: int) -> Ints:
    try:
        from usearch.index import Index
    except ImportError:
        raise UserError(
            f"similarity dense: {space.shape[1]:,} documents need an index", "pip install 'contextune[index]'"
        ) from None
    index = Index(ndim=space.documents.shape[1], metric="ip")
    index.add(np.arange(space.shape[1]), space.documents)
    found = index.search(space.queries, k)
    return np.asarray(found.keys, np.int64).reshape(len(space.queries), -1)


def _empty(m: int, k: int) -> Neighbours:
    return Neighbours(np.full((m, k), -1, np.int64), np.zeros((m, k), np.float32))


def _ranks(n: int, seed: int) -> Ints:
    order = list(range(n))
    DrawKey(seed, 0).rng("ties").shuffle(order)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    return rank


def _best(found: Neighbours, row: int, ids: Ints, scores: Floats, rank: Ints, k: int) -> None:
    """Write the best k of one query. What is refused has a score below 0."""
    k = min(k, len(ids))
    if not k:
        return
    least = max(np.partition(scores, len(scores) - k)[len(scores) - k], 0.0)
    places = np.flatnonzero(scores >= least)
    places = places[np.lexsort((rank[ids[places]], -scores[places]))][:k]
    found.ids[row, : len(places)] = ids[places]
    found.scores[row, : len(places)] = scores[places]
