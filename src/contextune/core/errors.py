"""The one error a user is meant to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can fix: a message that says where, what was found and what was expected.

    `hint` is the fix. The command line prints both without a traceback and exits with status 2.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.parts: tuple[UserError, ...] = (self,)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


def first_line(error: BaseException) -> str:
    """What an exception says first, at most 300 characters; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def shown(value: object, most: int = 60) -> str:
    """A value as errors show it: at most so many characters, also where Python would not write it."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def readable(text: str, most: int = 100) -> str:
    """A text as it is where it fits into a line, else as `shown`."""
    return text if text.isprintable() and len(text) <= most else shown(text, most)


def commonest(reasons: Iterable[str], most: int = 3) -> list[str]:
    """The commonest reasons, each in a line of its own: "7 times: REASON", cut so that like ones are one."""
    short = Counter(" ".join(r.split())[:REASON] + ("…" if len(r) > REASON else "") for r in reasons)
    return [f"{n} times: {reason}" for reason, n in short.most_common(most)]


REASON = 90
"""Characters of a reason where many are listed."""
MOST = 20
"""Faults that one report lists; more are counted."""


def together(errors: Seq[UserError]) -> UserError:
    """One error that lists several, each with its own fix; the error itself where there is but one."""
    parts = tuple(part for error in errors for part in error.parts)
    if len(parts) == 1:
        return parts[0]
    lines = [f"  {p.message}" + (f"\n    fix: {p.hint}" if p.hint else "") for p in parts[:MOST]]
    more = [f"  and {len(parts) - MOST} more"] if len(parts) > MOST else []
    whole = UserError("\n".join([f"{len(parts)} faults", *lines, *more]))
    whole.parts = parts
    return whole


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest of `known`, or lists them all where none is close."""
    known = sorted(map(str, known))
    close = get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or '(none)'}"
