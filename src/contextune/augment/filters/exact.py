"""Right or wrong, exactly: made texts of a world, read back and judged by its reasoner.

    measure(made, records, wanted)["reversal/1"]
    {"made": 40, "right": 38, "wrong": 1, "open": 1, "unread": 0, "precision": 0.95,
     "wanted": 40, "found": 38, "recall": 0.95}

A text is right where it states something and all that it states follows from the records, wrong where the
contrary of a statement follows, open where neither does, unread where it states nothing in the world's language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record

from ..base import Inferred
from ..reasoner import FactLike, KnowledgeBase, reasoner
from .base import Filter, Judge
from .text import whole

REASONS = {"right": "", "wrong": "its contrary follows", "open": "does not follow", "unread": "states nothing"}
_CLAUSE = re.compile(r"(?<=\.)\s+|\n")


@registry.filters("exact")
class Exact(Filter):
    """For worlds only: keeps what is right, given the whole corpus or the text's own passage."""

    given: Literal["corpus", "source"] = Field("corpus", description="what a text must follow from")

    def bind(self, context: BindContext) -> Judge:
        knowledge = known(r.text for r in context.records)

        def judge(made: Seq[Inferred]) -> list[str]:
            own = (known([m.passage.text]) if self.given == "source" else knowledge for m in made)
            return [REASONS[verdict(whole(m), k)] for m, k in zip(made, own, strict=True)]

        return judge


def measure(made: Seq[Inferred], records: Seq[Record], wanted: Iterable[Record] = ()) -> dict[str, dict[str, Any]]:
    """By operation and for "all": counts of each verdict, precision, and recall of the statements of `wanted`.

    A statement is wanted from its side: "Kalo is brighter than Mido" is no answer to what begins with Mido. Recall
    counts those that a right text states. Precision is right by made; recall is None where nothing is wanted.
    """
    knowledge = known(r.text for r in records)
    sought = {s for r in wanted for s in statements(r.text)}
    judged = [(m, verdict(whole(m), knowledge)) for m in made]
    labels = dict.fromkeys(m.operation for m in made)
    groups = {**{o: [x for x in judged if x[0].operation == o] for o in labels}, "all": judged}
    return {name: _score(group, sought) for name, group in groups.items()}


def account(
    made: Seq[Inferred], kept: Seq[Inferred], records: Seq[Record], wanted: Seq[Record] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """What the report shows under "exact": {made: measure, kept: measure}, before and after the filters."""
    return {"made": measure(made, records, wanted), "kept": measure(kept, records, wanted)}


def _score(judged: list[tuple[Inferred, str]], sought: set[Statement]) -> dict[str, Any]:
    counts = {v: sum(verdict == v for _, verdict in judged) for v in REASONS}
    found = sought & {s for m, v in judged if v == "right" for s in statements(whole(m))}
    return {
        "made": len(judged),
        **counts,
        "precision": counts["right"] / len(judged) if judged else None,
        "wanted": len(sought),
        "found": len(found),
        "recall": len(found) / len(sought) if sought else None,
    }


def verdict(text: str, knowledge: KnowledgeBase) -> str:
    """right, wrong, open or unread."""
    found = [_judge(knowledge, fact) for fact in reasoner().read(text)]
    return "unread" if not found else "wrong" if False in found else "open" if None in found else "right"


Statement = tuple[FactLike, str]
"""What is said, and what it is said of: the side that the sentence begins with."""


def statements(text: str) -> Iterator[Statement]:
    """The facts that a text states, each with the side that it begins with (a question: the side that it names)."""
    for clause in _CLAUSE.split(text):
        for fact in reasoner().read(clause):
            yield fact, min((fact.a, fact.b), key=lambda x: _place(clause, x))


def _place(clause: str, what: str) -> int:
    found = re.search(rf"\b{re.escape(what)}\b", clause)
    return found.start() if found else len(clause)


def known(texts: Iterable[str]) -> KnowledgeBase:
    language = reasoner()
    return language.knowledge(fact for text in texts for fact in language.read(text))


@lru_cache(maxsize=10_000)
def _follows(facts: tuple[FactLike, ...], fact: FactLike) -> bool | None:
    return _judge(reasoner().knowledge(facts), fact)


def follows(facts: Iterable[FactLike], fact: FactLike) -> bool | None:
    """True where a fact follows from facts, False where its contrary does, else None."""
    return _follows(tuple(facts), fact)


def _judge(knowledge: KnowledgeBase, fact: FactLike) -> bool | None:
    try:
        return knowledge.judge(fact)
    except ValueError:  # too many linked terms to check, or premises that contradict each other
        return None
