"""Standard streams that outlive their readers: closed, gone, full, or in an encoding that lacks a character."""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

PLAIN = str.maketrans({
    "–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "·": ".", "•": "*", "→": "->", "←": "<-", "≤": "<=",
    "≥": ">=", "≈": "~", "±": "+-", "‘": "'", "’": "'", "“": '"', "”": '"', "✓": "v", "✗": "x", "⟦": "[[", "⟧": "]]",
})  # fmt: skip
"""What is printed where the output's encoding lacks a character; any other becomes its number, as \\u2581."""


class Lasting(io.FileIO):
    """A stream's bytes. Once the system takes no more of them the rest is dropped, and `failed` says why."""

    failed: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:  # a pipe that does not block, and is full
                select.select([], [self], [])
            return written
        except OSError as e:
            self.failed = self.failed or e
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes


def lasting() -> None:
    """Open what is closed of this process's three streams, and make the two that are written to last."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would get what is printed
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    sys.stdout, sys.stderr = _lasting(1, sys.stdout), _lasting(2, sys.stderr)


def _lasting(number: int, old: Any) -> io.TextIOWrapper:
    raw = Lasting(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        getattr(old, "encoding", None) or "utf-8",
        "contextune",
        line_buffering=number == 2 or getattr(old, "line_buffering", False) or getattr(old, "write_through", False),
    )


def lost() -> OSError | None:
    """Why standard output is not whole; None where it is, or where its reader wanted no more."""
    with suppress(ValueError):
        sys.stdout.flush()
    error = getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "failed", None)
    return error if isinstance(error, OSError) and not isinstance(error, BrokenPipeError) else None


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("contextune", _plain)
