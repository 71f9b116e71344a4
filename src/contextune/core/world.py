"""A world: a generated benchmark, a pure function of its parameters and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import registry
from .errors import UserError
from .items import Task
from .options import LARGEST_SEED, whole
from .sequence import Record


@dataclass(frozen=True, slots=True)
class World:
    """`records` by group ("train" is what arms learn from; others are extra sources), `tasks` by name.

    Every test item's answer is unique and correct; no test statement stands in a training text.
    """

    name: str
    records: Mapping[str, tuple[Record, ...]]
    tasks: Mapping[str, Task]
    about: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def build_world(name: str, **options: Any) -> World:
    """The world of a name; UserError where the name or an option is unknown, or what it asks for cannot be."""
    builder = registry.worlds.find(name)
    whole(options.get("seed", 0), f"world '{name}': seed", 0, LARGEST_SEED)
    try:
        made: World = builder(**options)
    except TypeError as e:
        raise UserError(f"world '{name}': {e}", "contextune worlds NAME shows its options") from None
    except ValueError as e:  # more of something than there is
        sizes = ", ".join(f"{k}: {v}" for k, v in options.items())
        raise UserError(
            f"world '{name}' cannot be made with {sizes} ({e})", "smaller numbers, or size: small"
        ) from None
    return made


KEPT = 2
_made: dict[tuple[Any, str, str], World] = {}


def world_of(name: str, **options: Any) -> World:
    """As `build_world`, of which the last few worlds are kept: a recipe's data, tasks and augmentation ask for one."""
    key = (registry.worlds.find(name), name, repr(sorted(options.items())))
    if key not in _made:
        made = build_world(name, **options)
        while len(_made) >= KEPT:
            del _made[next(iter(_made))]
        _made[key] = made
    return _made[key]
