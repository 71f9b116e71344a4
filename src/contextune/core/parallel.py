"""A function of many items over all cores, in their order, with no more than a few items in memory."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_all_start_methods, get_context
from typing import Any, TypeVar

from .errors import UserError

AHEAD = 2
"""Items a process that wait for it, or that it has done."""
A = TypeVar("A")
B = TypeVar("B")
_function: Callable[[Any], Any] | None = None
"""What a worker process does: known to it from its birth, with all that it refers to."""


def mapped(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Results in the order of the items, which are asked for as they are needed.

    Processes are forked from this one, so that the function need not be sent to them; they end with it. Raises
    UserError where the system ends one, and what the function raises.
    """
    global _function
    workers = cores()
    if workers == 1 or "fork" not in get_all_start_methods():
        yield from map(function, items)
        return
    outer, _function = _function, function
    gc.collect()
    pool = ProcessPoolExecutor(workers, get_context("fork"), _begin, (os.getpid(),))
    try:
        waiting: deque[Future[B]] = deque()
        for item in items:
            waiting.append(pool.submit(_work, item))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        hint = "the system does that where memory is short: see what else runs, then give the same command again"
        raise UserError("a process that reads texts was ended", hint) from None
    finally:
        _function = outer
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with(parent: int) -> None:
    """Have this process end with the one that started it, also where that is killed; on Linux the system sees to it,
    be this process busy or stopped.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it ended before that
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(item: Any) -> Any:
    assert _function is not None
    return _function(item)


def _begin(parent: int) -> None:
    """A worker leaves interrupts to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    gc.freeze()
    end_with(parent)
