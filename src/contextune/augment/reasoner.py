"""Who reads statements of a language and says what follows from them; worlds register theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Protocol

from contextune.core import registry


class FactLike(Hashable, Protocol):
    """One statement about two things."""

    a: str
    b: str


class KnowledgeBase(Protocol):
    """What some facts say together."""

    def judge(self, fact: Any) -> bool | None:
        """True where the fact follows, False where its contrary does, else None. ValueError: cannot be judged."""
        ...


class Reasoner(ABC):
    """Exact reading and reasoning in one language."""

    name: str

    @abstractmethod
    def read(self, text: str) -> Iterator[Any]:
        """The facts that a text states."""

    @abstractmethod
    def knowledge(self, facts: Iterable[Any]) -> KnowledgeBase:
        """All that follows from facts."""

    @abstractmethod
    def questions(self, text: str) -> list[str]:
        """The questions that a sentence answers, one for each side of what it states."""


def reasoner(name: str = "language") -> Reasoner:
    """The reasoner of a language; by default that of the worlds."""
    made: Reasoner = registry.reasoners.find(name)()
    return made
