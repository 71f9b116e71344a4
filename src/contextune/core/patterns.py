"""Regular expressions from outside: read as Python's, and given up where they backtrack without end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import regex

from .errors import UserError

SECONDS = 1.0
"""For one text."""
LONGEST = 4_000
"""Characters of a pattern."""


def refuse(pattern: str, where: str) -> None:
    """UserError where a text is no regular expression."""
    if len(pattern) > LONGEST:
        raise UserError(
            f"{where}: a pattern of {len(pattern):,} characters, at most {LONGEST:,} are read", "shorten it"
        )
    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, MemoryError) as e:
        raise UserError(f"{where}: {pattern[:60]!r} is not a regular expression ({e})", "see Python's re") from None


def matching(pattern: str, texts: Iterable[str], where: str, whole: bool = False) -> Iterator[str]:
    """The texts that hold the pattern, or are it as a `whole`. UserError where it takes longer than SECONDS on one."""
    refuse(pattern, where)
    found = regex.compile(pattern)
    for text in texts:
        try:
            if (found.fullmatch if whole else found.search)(text, timeout=SECONDS):
                yield text
        except TimeoutError:
            said = f"{where}: {pattern[:60]!r} takes more than {SECONDS:g} s on {text[:40]!r}"
            raise UserError(said, "it tries too many ways: no repetition of a repetition, as in (a+)+") from None
