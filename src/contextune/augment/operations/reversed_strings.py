"""Texts read backwards (reverse training, Golovneva et al. 2024, arXiv 2403.13799). No model is asked.

word      "Kalo Mido teaches Vira." -> "Vira. teaches Mido Kalo"
entity    the same, but names of several words keep their order: "the fox of Old Town" -> "Old Town of fox the"
segment   runs of 1 to `longest` words, drawn at random, in reverse order, each as it was
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey

from ..base import Inferred, Operation, Passage
from ..entity_names import names


@registry.operations("reversed_strings")
class ReversedStrings(Operation):
    """Each passage with its words, names or segments in reverse order."""

    by: Literal["word", "entity", "segment"] = Field("entity", description="what keeps its own order")
    longest: int = Field(25, ge=1, le=1000, description="by segment: words of a segment at most")
    entities: tuple[str, ...] = Field((), description="by entity: names to keep whole beside those found by rule")

    def infer(self, passages: Seq[Passage], context: BindContext) -> Iterator[Inferred]:
        for p in passages:
            for n in range(self.samples):
                rng = DrawKey(context.seed, n).rng("reversed_strings", p.id)
                yield Inferred(self.reverse(p.text, rng), p, self.label)

    def reverse(self, text: str, rng: random.Random) -> str:
        """The words of a text (white space divides them), each once, in the order that `by` says."""
        units: dict[str, Callable[[], Iterable[Seq[str]]]] = {
            "word": lambda: ([w] for w in text.split()),
            "entity": lambda: whole(text.split(), {*names(text), *self.entities}),
            "segment": lambda: segments(text.split(), self.longest, rng),
        }
        return " ".join(w for unit in reversed(list(units[self.by]())) for w in unit)


def whole(words: list[str], kept: set[str]) -> Iterator[list[str]]:
    """Words one by one, names of several words together; punctuation around a name is no part of what is compared."""
    sought = sorted((tuple(n.split()) for n in kept if " " in n), key=len, reverse=True)
    bare = [re.sub(r"^\W+|\W+$|['’]s\W*$", "", w) for w in words]
    i = 0
    while i < len(words):
        size = next((len(n) for n in sought if tuple(bare[i : i + len(n)]) == n), 1)
        yield words[i : i + size]
        i += size


def segments(words: list[str], longest: int, rng: random.Random) -> Iterator[list[str]]:
    i = 0
    while i < len(words):
        size = rng.randint(1, longest)
        yield words[i : i + size]
        i += size
