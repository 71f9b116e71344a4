"""Generated benchmarks with exact answers, and the pocket model that they can be tried on.

`build("reversals", seed=1, size="small")` gives a World: records to learn from by group, and tasks
by name. Every world is a pure function of its parameters.
"""

from __future__ import annotations

from . import cipher, descriptions, general, reversals, semantic, slots, study, syllogisms  # noqa: F401  they register themselves
from .base import World, build, names

__all__ = ["World", "build", "names"]
