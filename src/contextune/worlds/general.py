"""General text: what the pocket model was made of, to be replayed beside what it learns next.

    context   "Vago is less calm than Tezo. note that Lipe teaches Bedi.\\nBedi is taught by"
    target    " Lipe."

Questions over fresh contexts of the pocket's own pretraining (facts, operations, syllogisms, frames, common
facts), about names that no test knows. No world's facts stand in it, and it has no tests of its own.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import count, islice

from ..sequence import Record
from . import making
from .base import World, register
from .pocket import corpus

SIZES = {"paper": {"rows": 6000, "facts": 6}, "small": {"rows": 2400, "facts": 5}}
ANOTHER = 1_000_000
"""Added to the seed, so that no document of the shipped model's training comes back."""


@register("general")
def general(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train, pairs of a context with a question and its answer.

    Sizes, each an option of its own: rows; facts (told before a question, at most).
    """
    n = making.sizes("general", size, SIZES, **given)
    draws = partial(making.draws, "general", seed)
    documents = (corpus.document(ANOTHER + seed, i, n["facts"], 2) for i in count())
    asking = islice((d for d in documents if any(kind == "answer" for _, kind in d.spans)), n["rows"])
    rows = tuple(_row(i, d, draws("cut", i)) for i, d in enumerate(asking))
    about = "the pocket's own pretraining, to be replayed against forgetting"
    return World("general", {"train": rows}, {}, about, {"sizes": n})


def _row(number: int, document: corpus.Document, rng: random.Random) -> Record:
    """A document up to one of its answers."""
    answers = [i for i, (_, kind) in enumerate(document.spans) if kind == "answer"]
    last = rng.choice(answers)
    before = "".join(text for text, _ in document.spans[:last])
    return making.pair(f"general-{number}", before, document.spans[last][0])
