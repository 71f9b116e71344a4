"""What filters look at in a text: its normal form, its words, and what it names."""

from __future__ import annotations

import re
import unicodedata

from ..base import Made

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’\-][^\W\d_]+)*|[^\W_]+")


def whole(made: Made) -> str:
    """The made text behind the prompt that it is trained after: "question: who teaches Mido? answer: Kalo."."""
    return made.prompt + made.text


def normal(text: str) -> str:
    """One form for texts that differ in case, white space, width of characters, or marks at their ends only."""
    flat = _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()
    return flat.strip(" .!?…;:,\"'“”‘’«»()[]") or flat


def words(text: str) -> list[str]:
    """Words and numbers in lower case; "Kalo's" and "well-known" are one word each, so is "3.5"."""
    return [_bare(w) for w in _WORD.findall(unicodedata.normalize("NFKC", text).casefold())]


def _bare(word: str) -> str:
    return re.sub(r"['’]s$", "", word)
