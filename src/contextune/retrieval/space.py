"""Inputs as vectors, so that any similarity is a product of two matrices, brought into [0, 1].

    s(document | query) = clip(finish(query · document), 0, 1)

A lexical similarity has sparse vectors over words, a dense one has the states of a model. Both are asked in
the same way: for blocks of rows when neighbours are sought, for single cells when a context is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from contextune.core.text import normal, pairs

Floats = NDArray[np.float32]
Rows = slice | Seq[int]
_WORD = regex.compile(r"[\w\p{M}]+")

LOW, HIGH = 1 / 3, 2 / 3
"""Below LOW a similarity is of grade low, from HIGH on it is high."""


@dataclass(frozen=True)
class Space:
    """`queries` [m, d] and `documents` [n, d], float32 arrays or sparse rows."""

    queries: Any
    documents: Any

    @property
    def shape(self) -> tuple[int, int]:
        return self.queries.shape[0], self.documents.shape[0]

    def scores(self, rows: Rows, columns: Rows = slice(None)) -> Floats:
        """Similarities [rows, columns] of documents to queries, in [0, 1]."""
        product = np.asarray(_dense(self.queries[rows] @ self.documents[columns].T), np.float32)
        return np.clip(self.finish(product, rows, columns), 0.0, 1.0)

    def finish(self, product: Floats, rows: Rows, columns: Rows) -> Floats:
        return product

    def outside(self, row: int, text: str) -> float | None:
        """Similarity of a text that is not in the pool to a query; None where that cannot be had cheaply."""
        return None


def grade(similarity: float) -> str:
    return "low" if similarity < LOW else "medium" if similarity < HIGH else "high"


def words(text: str) -> list[str]:
    """Words and numbers in the normal form, pairs of characters in scripts without spaces; a mark counts where there
    is nothing else."""
    folded = normal(text)
    return [part for word in _WORD.findall(folded) for part in pairs(word)] or folded.split()


def chunks(text: str) -> list[str]:
    """What stands between spaces in the normal form, pairs of characters in scripts without spaces."""
    return [part for word in normal(text).split() for part in pairs(word)]


def _dense(product: Any) -> Any:
    return product.toarray() if hasattr(product, "toarray") else product
