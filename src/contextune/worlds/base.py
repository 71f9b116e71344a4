"""A world: a generated benchmark, a pure function of its parameters and a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from ..evaluate.items import Task
from ..registry import Registry
from ..sequence import Record


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


Builder = Callable[..., World]
_worlds: Registry[Builder] = Registry("world")
register, names = _worlds.named, _worlds.names


def build(name: str, **options: Any) -> World:
    """The world of a name; UserError where the name or an option is unknown or of the wrong type."""
    builder = _worlds.find(name)
    try:
        return builder(**options)
    except TypeError as e:
        raise UserError(f"world '{name}': {e}", "contextune worlds NAME shows its options") from None
