"""Names and numbers that come from nowhere: neither the passage nor what the writer read has them.

A capitalised word within a sentence is a name. At a sentence's beginning it is one unless it is known as a
common word: a stop word, or one that stands in lower case somewhere in the originals or in what was made.
Languages without capitals show numbers only; in those that capitalise all nouns it asks too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred
from .base import Filter, Judge
from .text import as_number, is_name, sentences, stop_words, tokens, whole, words


@registry.filters("unsupported_entities")
class UnsupportedEntities(Filter):
    """Refuses a text that names more than `allowed` things which its sources do not."""

    allowed: int = Field(0, ge=0, le=1000, description="unsupported names and numbers that a text may have")

    def bind(self, context: BindContext) -> Judge:
        said = ("".join(s.text for s in r.segments) for r in context.records)
        common = {t for text in said for t in tokens(text) if t.islower()}

        def judge(made: Seq[Inferred]) -> list[str]:
            known = common | {t for m in made for t in tokens(whole(m)) if t.islower()}
            return [self._reason(m, known) for m in made]

        return judge

    def _reason(self, made: Inferred, known: set[str]) -> str:
        passage = made.passage
        there = {as_number(w) for text in (passage.text, passage.before, made.read) for w in words(text)}
        there |= {part for w in there for part in w.split("-")}
        strange = list(dict.fromkeys(e for e in entities(whole(made), known) if not _stands(e, there)))
        return f"names what its sources lack: {', '.join(strange)}" if len(strange) > self.allowed else ""


def entities(text: str, known: set[str]) -> Iterator[str]:
    """Names and numbers of a text; `known` are words that are common ones even at a sentence's beginning."""
    for sentence in sentences(text):
        for i, token in enumerate(tokens(sentence)):
            if is_name(token) and not (i == 0 and _common(token, known)):
                yield token


def _common(token: str, known: set[str]) -> bool:
    word = token.casefold()
    return word in stop_words() or word in known or word.removesuffix("s") in known or f"{word}s" in known


def _stands(entity: str, there: set[str]) -> bool:
    """A compound stands where its parts do; a plural where its singular does."""
    word = entity.casefold()
    return word in there or word.removesuffix("s") in there or all(part in there for part in word.split("-"))
