"""Inputs as vectors, so that any similarity is a product of two matrices, brought into [0, 1].

    s(document | query) = clip(finish(query · document), 0, 1)

A lexical similarity has sparse vectors over words, a dense one has the states of a model. Both are asked in
the same way: for blocks of rows when neighbours are sought, for single cells when a context is drawn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = slice | Seq[int]

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
    """Words and numbers in lower case; a mark counts where there is nothing else."""
    folded = normalised(text)
    return re.findall(r"\w+", folded) or folded.split()


def normalised(text: str) -> str:
    """Case, width and white space make no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _dense(product: Any) -> Any:
    return product.toarray() if hasattr(product, "toarray") else product
