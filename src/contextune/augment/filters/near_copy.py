"""Texts that only say their source again, word for word or nearly so."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from difflib import SequenceMatcher

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred
from .base import Filter, Judge
from .text import names, normal, stop_words, whole, words
from .unsupported_words import STEM


@registry.filters("near_copy")
class NearCopy(Filter):
    """Refuses a text that is the passage, stands in it whole, or is `threshold` alike in its words.

    Alike is the ratio of Ratcliff and Obershelp over words in their order (difflib): 1 is equal. A text whose names
    and numbers stand in another order than the passage's says something else, however alike it looks: it is kept.
    With `in_order` a text is refused as well whose content words all stand in the passage in the same order, in some
    form of theirs: words were left out, and nothing is turned round or said in other words. For operations that take
    a passage apart (restate) it asks too much.
    """

    threshold: float = Field(0.9, gt=0, le=1, description="share of words in common from which a text is a copy")
    in_order: bool = Field(False, description="whether a passage with words left out is a copy too")

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            return [self.reason(m) for m in made]

        return judge

    def reason(self, made: Inferred) -> str:
        text, source = words(whole(made)), words(made.passage.text)
        if normal(whole(made)) == normal(made.passage.text):
            return "its source again"
        if text and f" {' '.join(text)} " in f" {' '.join(source)} ":
            return "a part of its source"
        matcher = SequenceMatcher(None, text, source, autojunk=False)
        close = matcher.quick_ratio() >= self.threshold and matcher.ratio() >= self.threshold
        same = names(whole(made)) == names(made.passage.text)
        if close and same:
            return "nearly its source again"
        return "its source with words left out" if self.in_order and within(_content(text), _content(source)) else ""


def _content(said: Seq[str]) -> list[str]:
    return [w[:STEM] for w in said if w not in stop_words()]


def within(part: Seq[str], row: Seq[str]) -> bool:
    """Whether all of `part`, at least one, stands in `row` in its order, with whatever between."""
    rest = iter(row)
    return bool(part) and all(word in rest for word in part)
