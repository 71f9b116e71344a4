"""Texts that only say their source again, word for word or nearly so."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from difflib import SequenceMatcher

from pydantic import Field

from ..base import Made
from .base import Bench, Filter, Judge, register
from .text import names, normal, whole, words


@register
class Echo(Filter):
    """Refuses a text that is the passage, stands in it whole, or is `threshold` alike in its words.

    Alike is the ratio of Ratcliff and Obershelp over words in their order (difflib): 1 is equal. A text whose names
    and numbers stand in another order than the passage's says something else, however alike it looks: it is kept.
    """

    name = "echo"

    threshold: float = Field(0.9, gt=0, le=1)

    def bind(self, bench: Bench) -> Judge:
        def judge(made: Seq[Made]) -> list[str]:
            return [self.reason(m) for m in made]

        return judge

    def reason(self, made: Made) -> str:
        text, source = words(whole(made)), words(made.passage.text)
        if normal(whole(made)) == normal(made.passage.text):
            return "its source again"
        if text and f" {' '.join(text)} " in f" {' '.join(source)} ":
            return "a part of its source"
        matcher = SequenceMatcher(None, text, source, autojunk=False)
        close = matcher.quick_ratio() >= self.threshold and matcher.ratio() >= self.threshold
        same = names(whole(made)) == names(made.passage.text)
        return "nearly its source again" if close and same else ""
