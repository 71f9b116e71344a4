"""The one error a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can fix: a message that says where, what was found and what was expected.

    `hint` is the fix. The command line prints both without a traceback and exits with status 2.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest of `known`, or lists them all where none is close."""
    known = sorted(map(str, known))
    close = get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or '(none)'}"
