"""Answers in sentences of the model's own: does the gold answer occur, how many words are shared, is the number right.

Texts are compared as SQuAD does (Rajpurkar et al. 2016): without case, punctuation and English articles. Beyond it,
compatible characters are one (NFKC), and what is written without spaces (Chinese, Japanese, Thai …) is compared by
characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from fractions import Fraction
from typing import ClassVar

from contextune.core import registry

from .metric import ItemMetric

_ARTICLES = {"a", "an", "the"}
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_GROUPS = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_DIGITS = r"(?:\d{1,3}(?:[,'\u2019]\d{3})+(?!\d)|\d+)"
_VALUE = rf"(?:{_DIGITS}(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{{1,3}}\b)?"
_NUMBER = re.compile(rf"((?<![\w.)])[-\u2212][$€£¥]?)?({_VALUE})(?:(?<![./])/(\d+)(?![\d/]))?")
LONGEST = 400
"""Digits of a number at most; what is longer is none."""


def words(text: str) -> list[str]:
    """The words that are compared; all of them where nothing but articles and punctuation is there."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join("" if unicodedata.category(c)[0] == "P" else c for c in plain)
    found = [w for w in _WORD.findall(bare) if w not in _ARTICLES]
    return found or plain.split()


def last_number(text: str) -> Fraction | None:
    """1,234 and 1234.0 are one; -3, .5, 2e3 and 3/4 are numbers. None where there is none."""
    found = list(_NUMBER.finditer(unicodedata.normalize("NFKC", _GROUPS.sub("", text))))
    if not found or len(found[-1][0]) > LONGEST:
        return None
    sign, digits, below = found[-1].groups()
    value = Fraction(re.sub(r"[,'\u2019]", "", digits)) / (int(below or 1) or 1)
    return -value if sign else value


@registry.metrics("contains")
class Contains(ItemMetric):
    """The gold answer's words stand in the text one after the other."""

    special: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("exact_match", "token_f1")

    def worth(self, output: str, gold: str) -> float:
        said, right = words(output), words(gold)
        return float(any(said[i : i + len(right)] == right for i in range(len(said) - len(right) + 1)))


@registry.metrics("token_f1")
class TokenF1(ItemMetric):
    """F1 of the words of text and gold answer (SQuAD's)."""

    special: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("exact_match", "contains")
    has_majority: ClassVar[bool] = False

    def worth(self, output: str, gold: str) -> float:
        said, right = Counter(words(output)), Counter(words(gold))
        shared = (said & right).total()
        return 2 * shared / (said.total() + right.total()) if shared else 0.0


@registry.metrics("number_match")
class NumberMatch(ItemMetric):
    """The last number of the text is the last of the gold answer."""

    special: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("exact_match",)

    def worth(self, output: str, gold: str) -> float:
        said = last_number(output)
        return float(said is not None and said == last_number(gold))
