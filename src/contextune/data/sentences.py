"""Where sentences end: a rule of a few lines, no model, no download.

A border stands after . ! ? … । with white space behind it, after 。！？, and at line breaks; not after a
common abbreviation, a single letter, or the number of a list item, and not where the next word begins in
lower case. A missed border only makes a longer sentence.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

_BORDER = re.compile(
    r"""
      (?<![.!?…।]) (?P<stop> [.!?…।]+ ) ["'”’»)\]]* \s+     # a stop, closing quotes, white space
    | [。！？]+ [」』”’）]* \s*                    # scripts without white space between sentences
    | \n \s*                                    # a line break
    """,
    re.VERBOSE,
)

_MARK = re.compile(r"[.!?…।。！？\n]")

_STEP = 400
"""Characters that are looked through at a time from behind."""

_NO_STOP = re.compile(
    r"""(?: (?<![^\W_]) (?: [^\W\d_] | [a-z]\.[a-z] | al | approx | cf | dept | dr | eqs? | et | figs? | jr | mrs? | ms
        | prof | refs? | resp | sr | spp? | st | var | viz | vols? | vs )     # J. | e.g. | et al.
        | (?: ^ | \n ) [ \t]* \d{1,3} ) $                                       # 12. as a list item
    """,
    re.VERBOSE | re.IGNORECASE,
)


def borders(text: str) -> list[int]:
    """Ends of the sentences of `text` in characters, ascending, each with the white space behind it.

    The last one is `len(text)`; the sentences joined are the text.
    """
    found = [m.end() for m in _matches(text) if _is_border(m, text)]
    return found if found and found[-1] == len(text) else [*found, len(text)]


class Borders:
    """The same, for who looks for the last ones of a part: no more of the text is read than that needs."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def all(self) -> list[int]:
        return borders(self.text)

    def back(self, begin: int, end: int) -> Iterator[int]:
        """Those beyond `begin` and up to `end`, the last first."""
        text, high = self.text, end
        if begin < end == len(text):
            yield end
        while high > begin:
            if (low := _outside(text, max(0, high - _STEP))) is None:
                found, low = self.all[bisect_right(self.all, begin) : bisect_right(self.all, high)], begin
            else:
                found = [m.end() for m in _matches(text, low, high) if _is_border(m, text)]
            yield from (b for b in reversed(found) if begin < b <= end and b < len(text))
            high = low


def _outside(text: str, at: int) -> int | None:
    """The last place up to `at` that stands in no border: at the beginning, or behind a letter or digit."""
    for place in range(at, max(0, at - _STEP), -1):
        if text[place - 1].isalnum():
            return place
    return 0 if at < _STEP else None


def _matches(text: str, low: int = 0, high: int | None = None) -> Iterator[re.Match[str]]:
    """What `_BORDER.finditer` finds from `low`, several times faster: a border begins with one of a few characters."""
    end = low
    for mark in _MARK.finditer(text, low, len(text) if high is None else high):
        if mark.start() >= end and (match := _BORDER.match(text, mark.start())):
            end = match.end()
            yield match


def _is_border(match: re.Match[str], text: str) -> bool:
    if "\n\n" in match[0].replace("\r", ""):
        return True
    if text[match.end() : match.end() + 1].islower():  # e.g. "e.g. this", and lines wrapped within a sentence
        return False
    return match["stop"] != "." or not _NO_STOP.search(text, max(0, match.start() - 12), match.start())
