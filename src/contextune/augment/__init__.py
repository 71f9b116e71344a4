"""What follows from a text: operations that infer it, filters that judge it, a mixture to train on."""

from . import operations  # noqa: F401  # registers them
from .base import Desk, Made, Operation, Passage, find, names, register

__all__ = ["Desk", "Made", "Operation", "Passage", "find", "names", "register"]
