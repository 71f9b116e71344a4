"""Context policies: one file each, known by name."""

from .base import Context, Drawn, Policy, Scene, compose, find, names, register
from .generated import Generated
from .nothing import Nothing
from .prompts import Prompts, RandomTokens

__all__ = [
    "Context",
    "Drawn",
    "Generated",
    "Nothing",
    "Policy",
    "Prompts",
    "RandomTokens",
    "Scene",
    "compose",
    "find",
    "names",
    "register",
]
