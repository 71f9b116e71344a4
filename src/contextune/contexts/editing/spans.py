"""Spans of plain text: where a value stands as a whole, what is beside it, and what it looks like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence as Seq
from dataclasses import dataclass

Kind = tuple[str, ...]
"""The type of a value: where it occurs."""
NAME = re.compile(r"\b[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*")
NUMBER = re.compile(r"(?<![(\w.,:/$€£¥#+-])\d+(?:\.\d+)?(?![\w:/%-]|[.,]\d)")
WORD = re.compile(r"\w+(?:[’'-]\w+)*|[^\w\s]")
PART_BEFORE = re.compile(r"(?:\w|\w[-–/:_.,’'&]|[$€£¥#+])$")
PART_OF_WORD = re.compile(r"\w|[-–/:_]\w|\.\w|[’'](?![sS]\b)\w")
PART_OF_NUMBER = re.compile(r"\w|[-–/:_.,’'&%]\w")
"""What, right before or behind a span, makes it a part of something longer."""


@dataclass(frozen=True, slots=True)
class Value:
    """Characters `start` to `end` of an answer, which are `text`."""

    start: int
    end: int
    text: str
    kind: Kind


def spots(text: str, value: str, any_case: bool = False) -> list[int]:
    """Where a value stands as whole words, not as a part of a longer word or number."""
    within, sought = (text.lower(), value.lower()) if any_case else (text, value)
    if len(within) != len(text):
        return []
    follows = PART_OF_WORD if value[-1:].isalpha() else PART_OF_NUMBER
    found, at = [], within.find(sought)
    while at >= 0:
        end = at + len(value)
        if not PART_BEFORE.search(text, max(0, at - 2), at) and not follows.match(text, end):
            found.append(at)
        at = within.find(sought, end)
    return found


def splice(text: str, at: Seq[int], old: str, new: str) -> str:
    """The text with `new` for `old` at those places, in small letters where the old one is there."""
    for start in sorted(at, reverse=True):
        end = start + len(old)
        text = text[:start] + (new if text[start:end] == old else new.lower()) + text[end:]
    return text


def alone(text: str, at: Seq[int], value: str) -> bool:
    """Whether nothing of the value is left in the text when it is taken out where it stands."""
    rest = splice(text, at, value, "\x00").casefold()
    if value.isdecimal() and len(value) < 3:
        return re.search(rf"(?<!\d){value}(?!\d)", rest) is None
    if not value.isalpha() and value.casefold() in rest:
        return False
    parts = {w.casefold() for w in re.findall(r"\w+", value) if w == value or (w[:1].isupper() and len(w) > 2)}
    return not any(_part_of(p, w) for p in parts for w in re.findall(r"\w+", rest))


def _part_of(part: str, word: str) -> bool:
    """Whether a word is another form or a compound of a part of a value."""
    return part == word or (len(part) > 2 and word.startswith(part)) or (len(part) > 3 and part in word)


def names(text: str) -> list[tuple[str, bool]]:
    """Each capitalised name, and whether it begins a sentence."""
    found = []
    for match in NAME.finditer(text):
        before = text[: match.start()].rstrip(" \"'“‘([")
        found.append((re.sub(r"[’']s$", "", match[0]), not before or before[-1] in ".!?:\n"))
    return found


def skeleton(text: str) -> str:
    """A text without its names and numbers."""
    return NAME.sub("\u25e6", re.sub(r"\d+", "9", text)).strip()


def two_before(text: str, at: int) -> tuple[str, str]:
    """The two words before a place, with nothing but spaces between; "" where there is none."""
    found = re.search(r"(?:(\w+) )?(\w+) $", text[:at])
    return (found[1] or "", found[2]) if found else ("", "")


def one_after(text: str, at: int) -> str:
    found = re.match(r"(?:[’']s)? (\w+)", text[at:])
    return found[1] if found else ""


def texts_with(texts: Seq[str]) -> Counter[str]:
    """How many texts have each word."""
    return Counter(w for text in texts for w in set(re.findall(r"\w+", text)))


def digits(number: str) -> str:
    """What a number looks like: a year, or so many digits."""
    return "year" if re.fullmatch(r"(?:19|20)\d\d", number) else re.sub(r"\d", "9", number)


def shape(value: str, common: frozenset[str]) -> str:
    """The words of a value as far as others must have them: common words, digits, capitals, endings."""
    made: list[str] = []
    for word in WORD.findall(value):
        if (word.lower() in common and word != value) or not word[0].isalnum():
            made.append(word.lower())
        elif any(c.isdigit() for c in word):
            made.append(re.sub(r"[A-Za-z]", "a", re.sub(r"\d", "9", word)))
        elif word[0].isupper():
            made += [] if made and made[-1] == "X" else ["X"]
        else:
            made.append("x" + next((e for e in ("ing", "ed", "ly", "s", "'s") if word.endswith(e)), ""))
    return " ".join(made)


def clashing_articles(text: str) -> list[str]:
    """The English articles that do not sound like what follows them ("a apple")."""
    found = re.finditer(r"\b([Aa]n?) (?=(\w))", text)
    return [m[1].lower() for m in found if (m[1].lower() == "an") != (m[2].lower() in "aeiou")]
