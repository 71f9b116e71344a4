"""How alike test items are to the examples of a pool, by any similarity."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from contextune.core.binding import BindContext

if TYPE_CHECKING:
    from contextune.retrieval import Similarity
    from contextune.retrieval.space import Floats, Space

BLOCK = 64
"""Queries compared at once; a matter of memory only."""


@dataclass(frozen=True)
class SimilarityRow:
    """One query against the whole pool: `scores` [n] in [0, 1], its own to change."""

    scores: Floats
    space: Space
    number: int

    def outside(self, text: str) -> float | None:
        """Similarity of a text that is not in the pool; None where that cannot be had cheaply."""
        return self.space.outside(self.number, text)


def rows(
    similarity: Similarity, queries: Seq[str], pool: Seq[str], folder: Path | None = None
) -> Iterator[SimilarityRow]:
    """Each query's similarities. `folder` is where paths in options begin."""
    context = BindContext(cast(Any, None), folder=folder)  # no similarity asks for a tokenizer
    space = similarity.fit(queries, pool, context)
    for start in range(0, len(queries), BLOCK):
        block = space.scores(slice(start, start + BLOCK))
        for i, scores in enumerate(block):
            yield SimilarityRow(scores, space, start + i)
