"""What worlds add to the language: a fact as it is told, more openings, and filler."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from contextune.core.errors import UserError

from . import language
from .language import Fact

Side = Literal["forward", "backward"]
SIDES: tuple[Side, Side] = ("forward", "backward")

OPENINGS = (
    *language.PREAMBLES,
    "some say that",
    "we read that",
    "it is true that",
    "the story says that",
)
"""The language's preambles and a few more."""

COMPARATIVES = tuple(c for c in language.COMPARATIVES if language.RELATIONS[c.name] is c)
"""The comparisons that a fact can be told in: a name that another relation has taken would be told as that one."""

FILLER = (
    "this is a part of a long story",
    "there is more to say about this",
    "many people know this and many do not",
    "it was so in the past and it is so now",
    "not every part of this text matters",
    "the rest of the story is for another day",
    "some of this is old and some of it is new",
    "a reader may ask why that is so",
    "we will come back to this point later",
    "such things are often said and seldom written",
    "let us look at one more thing",
    "this can be seen in many places",
    "nothing in this line is new",
    "the text goes on in the same way",
)
"""Sentences that say nothing about anybody."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as a text tells it: from which side, in which of the side's two wordings."""

    fact: Fact
    side: Side = "forward"
    variant: int = 0

    @property
    def reversed(self) -> Told:
        return Told(self.fact, "backward" if self.side == "forward" else "forward", self.variant)

    @property
    def rephrased(self) -> Told:
        return Told(self.fact, self.side, 1 - self.variant)

    @property
    def first(self) -> str:
        return self.fact.a if self.side == "forward" else self.fact.b

    @property
    def last(self) -> str:
        """What a cut leaves to be said."""
        return self.fact.b if self.side == "forward" else self.fact.a

    def sentence(self, preamble: str = "") -> str:
        return language.sentence(self.fact.wording(self.side, self.variant), preamble)

    def cut(self, preamble: str = "") -> tuple[str, str]:
        """Prompt and answer: ("note that Kalo teaches", " Mido.")."""
        prompt, answer = self.fact.cut(self.side, self.variant)
        return (f"{preamble} {prompt}" if preamble else prompt), answer

    def question(self) -> tuple[str, str]:
        """The question that goes the same way: from what is told first to what is told last."""
        return self.fact.question("b" if self.side == "forward" else "a", self.variant)

    def with_last(self, last: str) -> Told:
        """The same told of something else, which makes it a counterfactual."""
        a, b = (self.fact.a, last) if self.side == "forward" else (last, self.fact.b)
        return Told(Fact(self.fact.relation, a, b), self.side, self.variant)


SPARE = 40
"""Names that a world leaves for the fresh facts of its probes."""


def own_names(rng: random.Random, n: int, world: str) -> list[str]:
    """n different test names for a world; UserError where too few would be left for its probes."""
    there = len(language.all_names(True))
    if n + SPARE > there:
        hint = f"lower the sizes: {there - SPARE} names can be had"
        raise UserError(f"world '{world}': its sizes ask for {n} names of its own", hint)
    return language.names(rng, n)


def tell(told: Iterable[Told], between: str = " ") -> str:
    return between.join(t.sentence() for t in told)


def draw(rng: random.Random, relations: Sequence[language.Relation], n: int, taken: Iterable[str]) -> list[Told]:
    """n facts about fresh test names, no name in two of them or in `taken`, each told from a random side."""
    used, drawn = set(taken), list[Told]()
    for _ in range(n):
        fact = language.fact(rng, rng.choice(relations), without=used)
        used |= {fact.a, fact.b}
        drawn.append(Told(fact, rng.choice(SIDES)))
    return drawn


def like(rng: random.Random, text: str, taken: Iterable[str]) -> str:
    """Something new of the same sort: a name for a name, a description for a description."""
    sorts = {"the": language.description, "a": language.feature}
    make, used = sorts.get(text.split()[0]), set(taken) | {text}
    if make is None:
        return language.names(rng, 1, without=used)[0]
    while (found := make(rng)) in used:
        pass
    return found
