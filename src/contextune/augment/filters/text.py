"""What filters look at in a text: its normal form, its words, and what it names."""

from __future__ import annotations

import re
from functools import lru_cache

from contextune.core.text import normal as same
from contextune.core.text import pairs, visible
from contextune.data.sentences import borders

from ..base import Inferred

_WORD = re.compile(r"(?:(?<![^\s(])[-−])?\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’\-][^\W\d_]+)*|[^\W_]+")
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def whole(made: Inferred) -> str:
    """The made text behind the prompt that it is trained after: "question: who teaches Mido? answer: Kalo."."""
    return made.prompt + made.text


def normal(text: str) -> str:
    """The normal form of `core.text`, without marks at the ends."""
    flat = same(text)
    return flat.strip(" .!?…;:,\"'“”‘’«»") or flat


def tokens(text: str) -> list[str]:
    """Words and numbers as written: "Kalo's" is Kalo, "well-known" and "3.5" are one each, "1,000" is 1000."""
    return [_bare(w) for w in _WORD.findall(visible(text))]


def words(text: str) -> list[str]:
    """`tokens` in lower case; scripts without spaces in pairs of characters."""
    return [part for t in tokens(text) for part in pairs(t.casefold())]


def names(text: str) -> tuple[str, ...]:
    """Capitalised words and numbers in their order, in lower case: what a text may be about. Stop words are none."""
    return tuple(t.casefold() for t in tokens(text) if is_name(t) and t.casefold() not in stop_words())


def is_name(token: str) -> bool:
    return (token[0].isupper() or token[-1].isdigit()) and token != "I"


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """Common English words that a sentence may begin with."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def sentences(text: str) -> list[str]:
    ends = borders(text)
    return [text[a:b] for a, b in zip((0, *ends), ends, strict=False)]


def _bare(token: str) -> str:
    token = re.sub(r"['’]s$", "", token)
    return token.replace(",", "") if re.fullmatch(r"[-−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", token) else token


def as_number(word: str) -> str:
    """ "three" -> "3"; any other word as it is."""
    return str(_COUNTED.index(word)) if word in _COUNTED else word
