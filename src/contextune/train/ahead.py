"""Updates drawn and rendered ahead of the step that trains on them, in another process.

    another process     draw 0  draw 1  draw 2  draw 3 …     at most AHEAD updates are ready or under way
    this one            (load)  step 0  step 1  step 2 …     takes each in its turn, and notes how long it waits

A draw is a pure function of (seed, update), so it does not matter where it is made: the same bits. A thread would not
do: drawing holds the interpreter's lock, which each launch of a kernel needs. The process is forked before the model is
loaded, so that it shares the records and holds neither weights nor a GPU. What fails there is drawn once more here, so
that errors are raised as if there were no other process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from torch.utils.data import Dataset

from contextune.core.parallel import cores, end_with
from contextune.core.sequence import Rendered

AHEAD = 4
"""Updates that are ready or under way: what is kept of them is bounded by this."""
PATIENCE = 60.0
"""Seconds to wait for an update before it is drawn here, with the same result: a forked process hangs where a lock was
held at the fork.
"""
LEAST = 4
"""Updates below which nothing is drawn ahead: a process costs more."""

_updates: Any = None
"""In the other process: what it draws from, as it was when the process was forked."""


class Ahead(Dataset[list[Rendered]]):
    """`updates` in order, drawn in advance by the process of `pool`; each when it is asked for where there is none."""

    def __init__(self, updates: Dataset[list[Rendered]], pool: ProcessPoolExecutor | None, begin: int = 0) -> None:
        self.updates, self.pool = updates, pool
        self.waited = 0.0
        """Seconds that steps have waited for their updates."""
        self.length = len(updates)  # type: ignore[arg-type]
        self.pending: dict[int, Future[list[Rendered]]] = {}
        self._ask(begin)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> list[Rendered]:
        began = time.monotonic()
        try:
            return self._taken(step)
        finally:
            self.waited += time.monotonic() - began

    def _taken(self, step: int) -> list[Rendered]:
        if self.pool is not None:
            self._ask(step)
        future = self.pending.pop(step, None)
        if future is None:
            return self.updates[step]
        try:
            return future.result(PATIENCE)
        except (BrokenProcessPool, TimeoutError):  # from now on each update is drawn when it is asked for
            self._give_up()
        except Exception:  # raised below by the same draw, with its own type and place
            pass
        return self.updates[step]

    def _give_up(self) -> None:
        pool, self.pool = self.pool, None
        self.pending.clear()
        for process in list(getattr(pool, "_processes", None) or {}):  # from Python 3.14 on: kill_workers()
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)

    def _ask(self, step: int) -> None:
        """Have the updates from `step` on drawn, and forget earlier ones."""
        for old in [s for s in self.pending if s < step]:
            self.pending.pop(old).cancel()
        for s in range(step, min(step + AHEAD, self.length)):
            if s in self.pending or self.pool is None:
                continue
            try:
                self.pending[s] = self.pool.submit(_draw, s)
            except (BrokenProcessPool, OSError):  # no further process is allowed
                self.pool = None


@contextmanager
def ahead(updates: Dataset[list[Rendered]], begin: int = 0) -> Iterator[Ahead]:
    """Within: `updates` from number `begin` on are drawn in another process, where there can be one."""
    left = len(updates) - begin  # type: ignore[arg-type]
    with _process(updates) if left >= LEAST and possible() else nullcontext() as pool:
        yield Ahead(updates, pool, begin)


def possible() -> bool:
    """Whether a forked process can draw beside this one: on Linux, with a core of its own, outside such a process."""
    return sys.platform == "linux" and cores() > 1 and _updates is None


@contextmanager
def _process(updates: Any) -> Iterator[ProcessPoolExecutor]:
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(1, fork, initializer=_begin, initargs=(updates, os.getpid()))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(updates: Any, parent: int) -> None:
    """In the other process: one thread, no Ctrl-C of its own, and an end with the process that it works for."""
    global _updates
    _updates = updates
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    with suppress(ImportError):
        import threadpoolctl

        threadpoolctl.threadpool_limits(1)


def _draw(step: int) -> list[Rendered]:
    drawn: list[Rendered] = _updates[step]
    return drawn
