"""One line that says where a long run stands and when it will be done."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from .files import Damaged, read_sealed

PAUSE = 15.0
"""Seconds between two lines of progress."""


def human(seconds: float) -> str:
    """3725 -> 1 h 02 min."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def every(pause: float = PAUSE) -> Callable[[], bool]:
    """A function that is true once in `pause` seconds, the first time so long from now."""
    last = time.monotonic()

    def is_due() -> bool:
        nonlocal last
        now = time.monotonic()
        due = now - last > pause
        last = now if due else last
        return due

    return is_due


def plain_console(stderr: bool = False, **more: Any) -> Console:
    """A console that prints texts as they are: brackets and colons in names, paths and documents are no markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True, **more)


@cache
def say_once(text: str) -> None:
    """A warning, once a process; workers pass theirs to the process that started them."""
    logging.getLogger("contextune").warning("%s", text)


def read_or_say(file: Path, then: str, older: bool = False) -> dict[str, Any] | None:
    """A sealed mapping; None where there is no file, and where it is damaged, which is said with what follows."""
    try:
        return read_sealed(file, older)
    except Damaged as e:
        say_once(f"{e}: {then}")
        return None


@contextmanager
def keeping(what: Callable[[], str]) -> Iterator[None]:
    """Within: an interrupt (Ctrl-C) says what is kept, on standard error, and goes its way."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{what()}", file=sys.stderr, flush=True)
        raise


@dataclass
class Reporter:
    """Says what happens: a live line on a terminal, else a plain line every `pause` seconds.

    `quiet` says nothing at all (`--json`, other processes of a distributed run).
    """

    console: Console
    quiet: bool = False
    pause: float = PAUSE

    @classmethod
    def silent(cls) -> Reporter:
        return cls(Console(quiet=True), quiet=True)

    def say(self, text: str, style: str = "") -> None:
        if not self.quiet:
            self.console.print(text, style=style or None, highlight=False, markup=False, emoji=False)

    def show(self, table: object) -> None:
        if not self.quiet:
            self.console.print(table)

    @contextmanager
    def counting(self, what: str, total: int, already: int = 0) -> Iterator[ProgressLine]:
        """A line that counts to `total`; `already` were done by an earlier, interrupted run."""
        live = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console, transient=True, disable=self.quiet or not self.console.is_terminal,
        )  # fmt: skip
        with live:
            yield ProgressLine(
                self, live, live.add_task(what, total=max(total, 1), completed=already, note=""), total, already
            )


@dataclass
class ProgressLine:
    reporter: Reporter
    live: Progress
    bar: TaskID
    total: int
    done: int
    base: int = -1
    began: float = 0.0
    spoke: float = 0.0

    def advance(self, label: str, note: str = "", by: int = 1) -> None:
        """`by` more are done; `label` is what is worked on, `note` its latest reading."""
        now = time.monotonic()
        self.done += by
        if self.base < 0:  # the first may hold what an earlier run did, and loading time: not a measure of speed
            self.base, self.began, self.spoke = self.done, now, now
        rate = (self.done - self.base) / (now - self.began) if now > self.began else 0.0
        left = f"{human((self.total - self.done) / rate)} left" if rate else "measuring"
        text = f"{self.done}/{self.total}  {note}  {left}"
        self.live.update(self.bar, completed=self.done, description=label, note=text)
        if not self.reporter.console.is_terminal and now - self.spoke >= self.reporter.pause:
            self.spoke = now
            self.reporter.say(f"{label}: {text}")
