"""Similarity of inputs in [0, 1], and who is nearest."""

from contextune.core.registry import import_modules

from .guard import Guard, answer, given
from .lexical import Lexical
from .neighbours import Neighbours, Search, exact, indexed, nearest
from .overlap import WordOverlap
from .pool import Pool, open_pool
from .similarity import Similarity, SimilarityOption
from .space import HIGH, LOW, Space, grade

import_modules(__name__, __path__)

__all__ = [
    "HIGH",
    "LOW",
    "Guard",
    "Lexical",
    "Neighbours",
    "Pool",
    "Search",
    "Similarity",
    "SimilarityOption",
    "Space",
    "WordOverlap",
    "answer",
    "exact",
    "given",
    "grade",
    "indexed",
    "nearest",
    "open_pool",
]
