"""What one rendering of a template from outside may use: turns, time, characters; counted as it goes.

What goes beyond raises `LimitError`. Bounds hold for one rendering; `within` begins one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import TemplateError
from jinja2.runtime import TemplateReference

STEPS = 100_000
"""Turns of loops and calls."""
SECONDS = 2.0
"""Of the processor, so that a busy machine refuses nothing that another one takes."""
SIZE = 2**24
"""Characters made in all, beside SHARE times those of the row; an element of a list counts as ELEMENT."""
SHARE = 16
ELEMENT = 16

TEXTS = (str, bytes)
LISTS = (list, tuple, set, frozenset)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}>")


class LimitError(TemplateError):
    """A template that takes more than a text needs."""


class Budget:
    """What one rendering may still use."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.steps, self.end = STEPS, time.thread_time() + SECONDS
        self.values: Mapping[str, Any] | None = values  # until their length is needed, which most rows never need
        self.most = self.size = SIZE

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise LimitError(f"more than {STEPS:,} turns of loops and calls")
        self.look()

    def look(self) -> None:
        if time.thread_time() > self.end:
            raise LimitError(f"more than {SECONDS:g} seconds")

    def spend(self, size: int) -> None:
        self.size -= size
        if self.size < 0 and self.values is not None:
            more, self.values = SHARE * length(self.values), None
            self.most, self.size = self.most + more, self.size + more
        if self.size < 0:
            raise LimitError(f"more than {self.most:,} characters")


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def within(values: Mapping[str, Any]) -> Iterator[None]:
    """Bounds for what is rendered or evaluated within, on these values."""
    token = _budget.set(Budget(values))
    try:
        yield
    finally:
        _budget.reset(token)


def current() -> Budget | None:
    """That of the rendering under way."""
    return _budget.get()


def spend(size: int) -> None:
    if (budget := current()) is not None:
        budget.spend(size)


def step() -> None:
    if (budget := current()) is not None:
        budget.step()


def made(value: Any) -> Any:
    """The value, counted: a text by its characters, a container by all that is in it."""
    if isinstance(value, TEXTS):
        spend(len(value))
    elif isinstance(value, (*LISTS, Mapping)):
        count(value, 0)
    elif isinstance(value, int):
        spend(value.bit_length() >> 3)
    return value


def written(value: Any) -> Any:
    """The value, counted as what is written of it."""
    if isinstance(value, (*LISTS, Mapping)):
        count(value, 1)
    else:
        made(value)
        _refuse_chance(value)
    return value


def _refuse_chance(value: Any) -> None:
    """TemplateError for what is written otherwise in each process: an address in memory, the order of a set."""
    if isinstance(value, (*TEXTS, int, float)):
        return
    if isinstance(value, TemplateReference):
        raise TemplateError("self is the template, which no text can hold: write a column")
    if isinstance(value, set | frozenset):
        raise TemplateError("a set has no order: write | sort behind it")
    if not isinstance(value, Mapping) and _ADDRESS.search(repr(value)):
        what = type(value).__name__.removeprefix("async_")
        raise TemplateError(
            f"a {what} would write its address in memory, another one each time: write | list behind it"
        )


def count(container: Any, texts: int) -> None:
    """Spend what a container holds, in depth; parts that stand in several places count in each."""
    for value in _parts(container):
        if texts:
            _refuse_chance(value) if not isinstance(value, list | tuple) else None
        if isinstance(value, LISTS):
            spend(ELEMENT * len(value))
        elif texts and isinstance(value, TEXTS):
            spend(len(value))


def length(values: Mapping[str, Any]) -> int:
    """Characters of all texts in a row."""
    return sum(len(value) for value in _parts(values) if isinstance(value, TEXTS))


def _parts(value: Any) -> Iterator[Any]:
    """All that a value holds, in depth, lists before what is in them."""
    waiting: list[Any] = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            value = (*value.keys(), *value.values())
        yield value
        if isinstance(value, LISTS):
            waiting += value
