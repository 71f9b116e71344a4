"""One normal form of texts, and units to compare them by in every script.

What guards compare (overlap, duplicates, similarity, the examples of an item) is compared here alone, so that none of
them is blind to what another sees.

    units   "GPT模型库 runs" -> gpt 模 型 库 runs    words where a script has spaces, else characters with their marks
    pairs   "gpt模型库"      -> gpt 模型 型库        characters in pairs, which say more of a text than single ones

Hangul counts as a script without spaces, since where Korean puts them differs from writer to writer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain, pairwise
from unicodedata import normalize

import regex

_SCRIPTS = ("Han", "Hiragana", "Katakana", "Bopomofo", "Hangul", "Yi", "Thai", "Lao", "Khmer", "Myanmar")
_SPACELESS = "".join(rf"\p{{{script}}}" for script in _SCRIPTS) + "ー"
_LETTERS = r"\p{L}\p{M}\p{N}"
_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}--\s]", regex.V1)
_HIDDEN = re.compile(f"[{''.join(re.escape(c) for c in map(chr, range(128)) if _INVISIBLE.match(c))}]")
"""What _INVISIBLE finds in ASCII."""
_OPTIONAL = regex.compile(r"[\u0640\u064B-\u0652\u0670\u0591-\u05BD\u05BF\u05C1\u05C2\u05C7]")
"""Arabic's lengthening stroke and vowel signs, Hebrew's points: readers do without them, and so do copies."""
_UNIT = regex.compile(
    rf"[[{_SPACELESS}]--[\p{{M}}\p{{Nd}}]]\p{{M}}*|[[{_LETTERS}]--[[{_SPACELESS}]--\p{{Nd}}]]+|\p{{M}}+", regex.V1
)
_RUN = regex.compile(rf"([[{_SPACELESS}]&&[{_LETTERS}]--\p{{Nd}}]+)", regex.V1)
_WORDLIKE = regex.compile(rf"[{_LETTERS}]")
_ASCII = regex.compile(r"[a-z0-9]+")
_CHARACTER = regex.compile(r"\P{M}\p{M}*|\p{M}+")
_GAP = regex.compile(rf"(?<=[{_SPACELESS}]|[^{_LETTERS}\s])\s+|\s+(?=[{_SPACELESS}]|[^{_LETTERS}\s])", regex.V1)
_ASCII_BYTES = bytes(range(128))
_MARKS = "".join(c for c in map(chr, range(33, 128)) if not c.isalnum())
_FEW = 64
"""Characters that are looked for one by one: faster than a pattern where a text has few of other scripts."""
_HAN = regex.compile(r"\p{Han}")

WORD = 3
"""The weight of a word; see `weight`."""


def normal(text: str) -> str:
    """`text` without differences that no reader sees: case, width, composition, white space, invisible characters.

    Compatibility forms become plain (NFKC), vowel signs that Arabic and Hebrew may leave out are left out.
    """
    if text.isascii():
        return " ".join((visible(text) if _HIDDEN.search(text) else text).lower().split())
    beyond = _beyond(text)
    folded = normalize("NFKC", normalize("NFKC", _shown(text, beyond)).casefold())
    return " ".join((_OPTIONAL.sub("", folded) if _any(_optional, beyond) else folded).split())


def visible(text: str) -> str:
    """`text` composed (NFKC), without invisible characters; case and white space stay."""
    return normalize("NFKC", _shown(text, _beyond(text)))


def key(text: str) -> str:
    """Equal for texts that say the same letter by letter: `normal`, and no space beside marks or between characters."""
    plain = normal(text)
    beyond = _beyond(plain)
    if len(beyond) > _FEW:
        return str(_GAP.sub("", plain))
    for c in [*_MARKS, *filter(_closed, beyond)]:
        if c in plain:
            plain = plain.replace(f" {c}", c).replace(f"{c} ", c)
    return plain


def _shown(text: str, beyond: set[str]) -> str:
    return _INVISIBLE.sub("", text) if _HIDDEN.search(text) or _any(_invisible, beyond) else text


def _beyond(text: str) -> set[str]:
    """The characters of a text that are not of ASCII."""
    return set(text.encode("utf-8", "surrogatepass").translate(None, _ASCII_BYTES).decode("utf-8", "surrogatepass"))


def _any(which: Callable[[str], bool], beyond: set[str]) -> bool:
    """Whether one of these characters may be such a one."""
    return len(beyond) > _FEW or any(map(which, beyond))


@lru_cache(maxsize=1 << 12)
def _invisible(c: str) -> bool:
    return _INVISIBLE.match(c) is not None


@lru_cache(maxsize=1 << 12)
def _optional(c: str) -> bool:
    """Whether a character is left out, or a form of one that is."""
    return _OPTIONAL.search(normalize("NFKD", normalize("NFKD", c).casefold())) is not None


@lru_cache(maxsize=1 << 12)
def _closed(c: str) -> bool:
    """Whether a space beside a character says nothing."""
    return _GAP.match(f" {c}") is not None


def units(text: str) -> list[str]:
    """Words, or characters with their marks in scripts without spaces; punctuation and symbols are left out."""
    return list(chain.from_iterable(map(units_of, normal(text).split(" "))))


@lru_cache(maxsize=1 << 17)
def units_of(part: str) -> tuple[str, ...]:
    """Those of what stands between two spaces in the normal form; most of it has been seen before."""
    return tuple((_ASCII if part.isascii() else _UNIT).findall(part))


def pairs(word: str) -> list[str]:
    """A word, or of what a script without spaces writes in a row: its characters in overlapping pairs.

    "gpt模型库" is gpt 模型 型库. A word of a script with spaces stays as it is, with the marks at its ends.
    """
    if word.isascii() or not _RUN.search(word):
        return [word]
    return [part for run in _RUN.splititer(word) for part in _paired(run)]


def _paired(run: str) -> list[str]:
    if not _RUN.match(run):
        return [run] if _WORDLIKE.search(run) else []
    characters = _CHARACTER.findall(run)
    return [a + b for a, b in pairwise(characters)] or characters


@lru_cache(maxsize=1 << 16)
def is_character(unit: str) -> bool:
    """Whether a unit is of a script without spaces."""
    return _RUN.match(unit) is not None


@lru_cache(maxsize=1 << 16)
def weight(unit: str) -> int:
    """How much of a word a unit is, in thirds: a Chinese character two, one of another script without spaces one."""
    return (2 if _HAN.match(unit) else 1) if is_character(unit) else WORD


def size(found: Iterable[str]) -> float:
    """The length of units in words."""
    return sum(map(weight, found)) / WORD
