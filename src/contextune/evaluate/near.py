"""How alike test items are to the examples of a pool, by any similarity of `retrieve`."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..retrieve.space import Floats, Space

BLOCK = 64
"""Queries compared at once; a matter of memory only."""


@dataclass(frozen=True)
class Row:
    """One query against the whole pool: `scores` [n] in [0, 1], its own to change."""

    scores: Floats
    space: Space
    number: int

    def outside(self, text: str) -> float | None:
        """Similarity of a text that is not in the pool; None where that cannot be had cheaply."""
        return self.space.outside(self.number, text)


def rows(similarity: Any, queries: Seq[str], pool: Seq[str], folder: Path | None = None) -> Iterator[Row]:
    """Each query's similarities. `similarity` is one of `retrieve.pool.Similarity`; `folder` is where paths begin."""
    space = _space(similarity, queries, pool, folder)
    for start in range(0, len(queries), BLOCK):
        block = space.scores(slice(start, start + BLOCK))
        for i, scores in enumerate(block):
            yield Row(scores, space, start + i)


def _space(similarity: Any, queries: Seq[str], pool: Seq[str], folder: Path | None) -> Space:
    if similarity.kind != "dense":
        found: Space = similarity.fit(queries, pool)
        return found
    from ..retrieve import dense

    if similarity.encoder is None:
        raise UserError("similarity: dense needs an encoder here", "similarity: {kind: dense, encoder: FOLDER}")
    texts = list(dict.fromkeys((*queries, *pool)))
    at = {text: i for i, text in enumerate(texts)}
    vectors = similarity.embed(texts, None, folder, None)
    return dense.space(vectors[[at[t] for t in queries]], vectors[[at[t] for t in pool]])
