"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from itertools import accumulate
from typing import Any, TypeVar, overload

T = TypeVar("T")


class Lazy(Seq[T], ABC):
    """Has `item` for one place; a slice is a list."""

    @abstractmethod
    def item(self, place: int) -> T:
        """The item at a place from 0."""

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self.item(i) for i in range(*at.indices(len(self)))]
        size = len(self)
        if not -size <= at < size:
            raise IndexError(at)
        return self.item(at + size if at < 0 else at)

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(len(self)))


class View(Lazy[T]):
    """Some items of a sequence, by their places."""

    def __init__(self, base: Seq[T], places: Any) -> None:
        self.base, self.places = base, places

    def __len__(self) -> int:
        return len(self.places)

    def item(self, place: int) -> T:
        return self.base[int(self.places[place])]


class Chain(Lazy[T]):
    """Several sequences, one after another."""

    def __init__(self, parts: Seq[Seq[T]]) -> None:
        self.parts = parts
        self.ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def item(self, place: int) -> T:
        part = bisect_right(self.ends, place)
        return self.parts[part][place - (self.ends[part - 1] if part else 0)]

    def __iter__(self) -> Iterator[T]:
        return (item for part in self.parts for item in part)


def chained(parts: Seq[Seq[T]]) -> Seq[T]:
    """The sequences as one; a lazy one where one of them is."""
    if len(parts) == 1:
        return parts[0]
    return Chain(parts) if any(isinstance(part, Lazy) for part in parts) else [item for part in parts for item in part]
