"""What a similarity is: options that a recipe writes, and a space in which inputs are compared.

similarity: lexical | overlap | dense | {kind: lexical, k1: 1.2} | {kind: dense, encoder: models/minilm}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as Seq
from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.options import Named, named

from .space import Space


class Similarity(Named, ABC):
    """Options of a similarity; subclasses add fields and `fit`."""

    key: ClassVar[str] = "kind"

    @abstractmethod
    def fit(self, queries: Seq[str], documents: Seq[str], context: BindContext) -> Space:
        """The space of a pool of documents, in which each query is as similar to each document as `Space` says.

        `queries` may be among the documents or not. What takes long may be kept in `context.cache`.
        """

    def content(self, context: BindContext) -> str:
        """What, besides texts and options, decides the similarities, such as an encoder's weights."""
        return ""


SimilarityOption = named(registry.similarities, Similarity.key)
"""A similarity among the options of something: its name, or a mapping with the key `kind`."""
