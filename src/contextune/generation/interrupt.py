"""Ctrl-C while requests are under way: the first is noted, so that what has arrived is kept; the second ends."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any, Self


class Interrupt:
    """Within `with`, in the main thread, the first SIGINT raises nothing.

    Where something else handles the signal already, that stays; its KeyboardInterrupt may be passed on by `press`.
    """

    reason = ""
    """Why no more should be begun."""

    def __enter__(self) -> Self:
        self._at = 0.0
        here = threading.current_thread() is threading.main_thread()
        self._ours = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self.press)
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(self, *signalled: Any) -> None:
        """Note an interrupt; KeyboardInterrupt at the second."""
        if self.reason:
            raise KeyboardInterrupt
        self.reason, self._at = "interrupted", time.monotonic()

    def since(self) -> float:
        """Seconds since the interrupt, 0 where there was none."""
        return time.monotonic() - self._at if self.reason else 0.0

    def end(self) -> None:
        """KeyboardInterrupt where there was one."""
        if self.reason:
            raise KeyboardInterrupt
