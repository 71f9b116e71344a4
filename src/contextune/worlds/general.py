"""General text: what the pocket model was made of, to be replayed beside what it learns next.

    context   "Vago is less calm than Tezo. note that Lipe teaches Bedi.\\nBedi is taught by"
    target    " Lipe."
    context   "\\nquestion: who is calmer than Vago? answer:"
    target    " Tezo."

Questions over fresh contexts of the pocket's own pretraining (facts, operations, syllogisms, frames, common
facts), about names that no test knows. No world's facts stand in it, and it has no tests of its own.

What tests ask is held out of it, whatever the seed (`held_out`): half of the common facts, and the forms by which
the worlds see whether an arm listens in a form that it was never trained in.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Literal

from contextune.core import registry
from contextune.core.sequence import Record, Segment
from contextune.core.world import World

from . import language, making
from .pocket import corpus

SIZES = {"paper": {"rows": 6000, "facts": 6}, "small": {"rows": 1000, "facts": 5}}
ANOTHER = 1_000_000
"""Added to the seed, so that no document of the shipped model's training comes back."""


Spans = list[tuple[str, corpus.SpanKind]]
KINDS = [kind for kind in corpus.WRITERS if kind not in ("checks", "openings")]
"""Kinds of document that may be replayed; the others ask in forms that are held out and in no other."""
CHECK = language.verify("", True)[0].partition("?")[0].strip()
FOUR_PARTS = 3
"""Commas in a frame of four parts."""


def held_out(prompt: str, answer: str) -> bool:
    """Whether tests ask it: a common fact of their half, a yes/no question, or a command of four parts."""
    asked = prompt.strip()
    tested = (asked, answer) in TESTED
    return tested or asked.startswith(CHECK) or (answer.startswith(" [") and answer.count(",") == FOUR_PARTS)


TESTED = frozenset(language.common_facts("tests"))


@registry.worlds("general")
def general(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train, documents whose answers are learned.

    Sizes, each an option of its own: rows; facts (told before a question, at most).
    """
    n = making.sizes("general", size, SIZES, **given)
    kinds = cycle(KINDS)  # each kind of document as often as any other: none is forgotten
    documents = (corpus.document(ANOTHER + seed, i, n["facts"], only=kind) for i, kind in enumerate(kinds))
    spans = (_without_tests(d.spans) for d in documents)
    asking = islice((s for s in spans if any(kind == "answer" for _, kind in s)), n["rows"])
    rows = tuple(_row(i, s) for i, s in enumerate(asking))
    about = "the pocket's own pretraining, to be replayed against forgetting"
    return World("general", {"train": rows}, {}, about, {"sizes": n})


def _without_tests(spans: Spans) -> Spans:
    """A document's spans without the questions that are held out and their answers."""
    kept: Spans = []
    for text, kind in spans:
        if kind == "answer" and held_out(kept[-1][0], text):
            kept.pop()
        else:
            kept.append((text, kind))
    return [(kept[0][0].removeprefix("\n"), kept[0][1]), *kept[1:]] if kept else kept


def _row(number: int, spans: Spans) -> Record:
    """A document, its answers learned."""
    roles: dict[corpus.SpanKind, Literal["context", "target"]] = {"context": "context", "answer": "target"}
    last = max(i for i, (_, kind) in enumerate(spans) if kind == "answer")
    segments = tuple(Segment(text, roles[kind]) for text, kind in spans[: last + 1])
    return Record(f"general-{number}", segments, f"general-{number}")
