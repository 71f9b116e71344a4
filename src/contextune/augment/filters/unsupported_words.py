"""Texts in words that come from nowhere: what a weak writer invents is mostly said in words that its source lacks.

The Purkinje cells express Itpr1 highly.      of "Itpr1 is highly expressed in the Purkinje cells.": all stand there
The Purkinje cells are found in the brain.    found, brain: 2 of 4 do not
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred
from .base import Filter, Judge
from .text import stop_words, whole, words

STEM = 5
"""Letters that two words have in common where they count as forms of one: express, expressed, expression."""


@registry.filters("unsupported_words")
class UnsupportedWords(Filter):
    """Refuses a text of whose content words more than `share` stand in none of its sources, in no form of theirs."""

    share: float = Field(0.25, ge=0, le=1, description="share of content words that the sources may lack")

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            return [self._reason(m) for m in made]

        return judge

    def _reason(self, made: Inferred) -> str:
        passage = made.passage
        there = {w[:STEM] for text in (passage.text, passage.before, made.read) for w in words(text)}
        said = [w for w in dict.fromkeys(words(whole(made))) if w not in stop_words()]
        strange = [w for w in said if w[:STEM] not in there]
        return f"words that its sources lack: {', '.join(strange)}" if len(strange) > self.share * len(said) else ""
