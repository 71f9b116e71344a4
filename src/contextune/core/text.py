"""One normal form of texts, and units to compare them by in every script.

What guards compare (overlap, duplicates, similarity, the examples of an item) is compared here alone, so that none of
them is blind to what another sees.

    units   "GPT模型库 runs" -> gpt 模 型 库 runs    words where a script has spaces, else characters with their marks
    pairs   "gpt模型库"      -> gpt 模型 型库        characters in pairs, which say more of a text than single ones

Hangul counts as a script without spaces, since where Korean puts them differs from writer to writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
_ASCII_GAP = re.compile(r"(?<=[^a-z0-9 ]) | (?=[^a-z0-9 ])")
_HAN = regex.compile(r"\p{Han}")

WORD = 3
"""The weight of a word; see `weight`."""


def normal(text: str) -> str:
    """`text` without differences that no reader sees: case, width, composition, white space, invisible characters.

    Compatibility forms become plain (NFKC), vowel signs that Arabic and Hebrew may leave out are left out.
    """
    if text.isascii():
        return " ".join((visible(text) if _HIDDEN.search(text) else text).lower().split())
    return " ".join(_OPTIONAL.sub("", normalize("NFKC", visible(text).casefold())).split())


def visible(text: str) -> str:
    """`text` composed (NFKC), without invisible characters; case and white space stay."""
    return normalize("NFKC", _INVISIBLE.sub("", text))


def key(text: str) -> str:
    """Equal for texts that say the same letter by letter: `normal`, and no space beside marks or between characters."""
    plain = normal(text)
    return _ASCII_GAP.sub("", plain) if plain.isascii() else str(_GAP.sub("", plain))


def units(text: str) -> list[str]:
    """Words, or characters with their marks in scripts without spaces; punctuation and symbols are left out."""
    return list(chain.from_iterable(map(_units, normal(text).split(" "))))


@lru_cache(maxsize=1 << 17)
def _units(part: str) -> tuple[str, ...]:
    """Those of what stands between two spaces; most of it has been seen before."""
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
