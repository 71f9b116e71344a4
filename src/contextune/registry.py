"""Things that recipes call by name: policies, operations, filters, worlds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .errors import UserError, nearest

T = TypeVar("T")


class Registry(dict[str, T]):
    """By name; `what` is what an error calls them."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def register(self, cls: T) -> T:
        """Class decorator: makes a class known to recipes under its `name`."""
        return self.named(cls.name)(cls)  # type: ignore[attr-defined]

    def named(self, name: str) -> Callable[[T], T]:
        """Decorator of what has no name of its own."""

        def add(made: T) -> T:
            self[name] = made
            return made

        return add

    def names(self) -> list[str]:
        return sorted(self)

    def find(self, name: str) -> T:
        """What has that name; UserError with the nearest name where there is none."""
        if name not in self:
            raise UserError(f"unknown {self.what} '{name}'", nearest(name, self))
        return self[name]
