"""Signals that ask a command to end: it says what is kept, and ends with 128 + the signal's number.

Ctrl-C (SIGINT), SIGTERM and SIGHUP are one thing: a KeyboardInterrupt, once. Those that whoever started the command has
it ignore (nohup; & in a script) stay ignored. SIGKILL and SIGQUIT end it at once, which harms nothing either.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TOGETHER = 0.5
"""Seconds within which several signals are one: `timeout` and process groups send each twice."""
AGAIN = 3.0
"""Seconds after which an interrupt that a library has swallowed is raised once more."""

SOON = 0.05

_first: tuple[int, float] | None = None


def listen() -> None:
    """From now on the first of these signals raises KeyboardInterrupt; a later one ends the process at once."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    signal.signal(signal.SIGALRM, _raise)
    sys.unraisablehook = _again


def _stop(number: int, frame: FrameType | None) -> None:
    global _first
    if _first is None:
        _first = number, time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        raise KeyboardInterrupt
    if time.monotonic() - _first[1] > TOGETHER:
        os._exit(128 + number)


def _again(lost: Any) -> None:
    """An interrupt that fell into a `__del__` or a callback, where none can be raised, is raised anew in a moment."""
    if lost.exc_type is KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, SOON, AGAIN)
    else:
        sys.__unraisablehook__(lost)


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def caught() -> int:
    """The first signal's number (SIGINT where none was heard); the interrupt has arrived, and is not raised again."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    return _first[0] if _first else signal.SIGINT


def ignore() -> None:
    """The work is done or given up: from now on such a signal ends the process without a word."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in ENDING:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_DFL)
