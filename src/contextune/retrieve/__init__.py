"""Similarity of inputs in [0, 1], and who is nearest."""

from .dense import Dense
from .guard import Guard, answer, given
from .lexical import Lexical
from .nearest import Neighbours, Search, exact, indexed, nearest
from .overlap import Overlap
from .pool import Place, Pool, Similarity, open_pool
from .space import HIGH, LOW, Space, grade

__all__ = [
    "HIGH",
    "LOW",
    "Dense",
    "Guard",
    "Lexical",
    "Neighbours",
    "Overlap",
    "Place",
    "Pool",
    "Search",
    "Similarity",
    "Space",
    "answer",
    "exact",
    "given",
    "grade",
    "indexed",
    "nearest",
    "open_pool",
]
