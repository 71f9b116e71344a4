"""Generated benchmarks with exact answers, and the pocket model that they can be tried on.

`build("reversals", seed=1, size="small")` gives a World: records to learn from by group, and tasks
by name. Every world is a pure function of its parameters.
"""

from __future__ import annotations

from contextune.core import registry
from contextune.core.registry import import_modules
from contextune.core.world import World
from contextune.core.world import build_world as build

import_modules(__name__, __path__)
names = registry.worlds.names

__all__ = ["World", "build", "names"]
