"""General text: what the pocket model was made of, to be replayed beside what it learns next.

    context   "Vago is less calm than Tezo. note that Lipe teaches Bedi.\\nBedi is taught by"
    target    " Lipe."
    context   "\\nquestion: who is calmer than Vago? answer:"
    target    " Tezo."

Questions over fresh contexts of the pocket's own pretraining (facts, operations, syllogisms, frames, common
facts), about names that no test knows. No world's facts stand in it, and it has no tests of its own.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Literal

from contextune.core import registry
from contextune.core.sequence import Record, Segment
from contextune.core.world import World

from . import making
from .pocket import corpus

SIZES = {"paper": {"rows": 6000, "facts": 6}, "small": {"rows": 1000, "facts": 5}}
ANOTHER = 1_000_000
"""Added to the seed, so that no document of the shipped model's training comes back."""


@registry.worlds("general")
def general(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train, documents whose answers are learned.

    Sizes, each an option of its own: rows; facts (told before a question, at most).
    """
    n = making.sizes("general", size, SIZES, **given)
    kinds = cycle(corpus.WRITERS)  # each kind of document as often as any other: none is forgotten
    documents = (corpus.document(ANOTHER + seed, i, n["facts"], only=kind) for i, kind in enumerate(kinds))
    asking = islice((d for d in documents if any(kind == "answer" for _, kind in d.spans)), n["rows"])
    rows = tuple(_row(i, d) for i, d in enumerate(asking))
    about = "the pocket's own pretraining, to be replayed against forgetting"
    return World("general", {"train": rows}, {}, about, {"sizes": n})


def _row(number: int, document: corpus.PocketDocument) -> Record:
    """A document, its answers learned."""
    roles: dict[corpus.SpanKind, Literal["context", "target"]] = {"context": "context", "answer": "target"}
    last = max(i for i, (_, kind) in enumerate(document.spans) if kind == "answer")
    segments = tuple(Segment(text, roles[kind]) for text, kind in document.spans[: last + 1])
    return Record(f"general-{number}", segments, f"general-{number}")
