"""The exact reasoner of the worlds' language, for filters and operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contextune.augment.reasoner import Reasoner
from contextune.core import registry

from ..language import Fact
from ..solve import Knowledge, read, sentence


@registry.reasoners("language")
class LanguageReasoner(Reasoner):
    """Reads and reasons in the language of the worlds."""

    def read(self, text: str) -> Iterator[Fact]:
        return read(text)

    def knowledge(self, facts: Iterable[Fact]) -> Knowledge:
        return Knowledge(facts)

    def questions(self, text: str) -> list[str]:
        fact = sentence(text)
        return [] if fact is None else [fact.question(side)[0] for side in "ba"]
