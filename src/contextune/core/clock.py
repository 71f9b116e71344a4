"""The date that templates write: a run's own, so that a run resumed another day is the same run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

_fixed: ContextVar[datetime | None] = ContextVar("date", default=None)


@contextmanager
def fixed(when: datetime) -> Iterator[None]:
    """Templates that are rendered within write this date."""
    token = _fixed.set(when)
    try:
        yield
    finally:
        _fixed.reset(token)


def now() -> datetime:
    """The date that is fixed, else the time."""
    return _fixed.get() or datetime.now()


def is_fixed() -> bool:
    return _fixed.get() is not None


def strftime_now(format: str) -> str:
    """What chat templates call: the date, in the form of `datetime.strftime`."""
    return now().strftime(format)
