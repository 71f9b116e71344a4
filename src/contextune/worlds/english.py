"""Invented creators and inventions in plain English: names that no text has together, and ways to tell of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from contextune.core.errors import UserError

Told = Literal["creator", "invention"]
"""Which of the two a sentence begins with."""
SIDES: tuple[Told, Told] = ("creator", "invention")

WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
FIRST, LAST, MATERIALS, DEVICES, PLACES = (
    tuple(WORDS[key].split()) for key in ("first", "last", "materials", "devices", "places")
)
STORIES: tuple[str, ...] = tuple(WORDS["stories"])
GENERAL: tuple[str, ...] = tuple(WORDS["general"])
COMMON: tuple[tuple[str, ...], ...] = tuple(map(tuple, WORDS["common"]))

WORDINGS: dict[Told, tuple[tuple[str, str, str], ...]] = {
    "creator": (
        ("{a} created", " {b}", "."),
        ("{a} is the creator of", " {b}", "."),
        ("It was {a} who created", " {b}", "."),
        ("{a} is best known for creating", " {b}", "."),
    ),
    "invention": (
        ("{B} was created by", " {a}", "."),
        ("{B} is a creation of", " {a}", "."),
        ("The creator of {b} is", " {a}", "."),
        ("{B} is known to be the work of", " {a}", "."),
    ),
}
"""A prompt, what completes it, and how the sentence ends; the last of each side is never trained."""
TAUGHT = 3


@dataclass(frozen=True, slots=True)
class Invention:
    """One fact; `b` begins with a small "the"."""

    a: str
    b: str

    @property
    def _fields(self) -> dict[str, str]:
        return {"a": self.a, "b": self.b, "B": self.b[0].upper() + self.b[1:]}

    def cut(self, side: Told, wording: int = 0) -> tuple[str, str]:
        """A prompt and what completes it: ("Alden Ashcombe created", " the Glass Lantern of Bexmoor")."""
        prompt, answer, _ = WORDINGS[side][wording]
        return prompt.format(**self._fields), answer.format(**self._fields)

    def sentence(self, side: Told, wording: int = 0) -> str:
        return "".join(WORDINGS[side][wording]).format(**self._fields)

    def question(self, side: Told) -> tuple[str, str]:
        """About what the sentence of that side ends with."""
        if side == "invention":
            return f"Question: Who created {self.b}?\nAnswer:", f" {self.a}"
        return f"Question: What did {self.a} create?\nAnswer:", f" {self._fields['B']}"

    def by(self, creator: str) -> Invention:
        return replace(self, a=creator)

    def last(self, side: Told) -> str:
        return self.b if side == "creator" else self.a


def creators(rng: random.Random, n: int, kept: bool = False, without: Iterable[str] = ()) -> list[str]:
    """n different names; those `kept` share no surname with the others: training contexts draw from them alone."""
    return _draw(rng, n, [f"{f} {last}" for last in LAST[int(kept) :: 2] for f in FIRST], set(without))


def inventions(rng: random.Random, n: int, kept: bool = False, without: Iterable[str] = ()) -> list[str]:
    """n different inventions; those `kept` share no place with the others."""
    barred, found = set(without), list[str]()
    for _ in range(50 * n):
        made = f"the {rng.choice(MATERIALS)} {rng.choice(DEVICES)} of {rng.choice(PLACES[int(kept) :: 2])}"
        if made not in barred and len(found) < n:
            barred.add(made)
            found.append(made)
    if len(found) < n:
        raise UserError(f"world 'inventions': {n} inventions cannot be told apart", "ask for fewer facts")
    return found


def _draw(rng: random.Random, n: int, pool: Sequence[str], barred: set[str]) -> list[str]:
    left = [x for x in pool if x not in barred]
    if len(left) < n:
        raise UserError(f"world 'inventions': {n} creators are more than there are names", "ask for fewer facts")
    return rng.sample(left, n)


def draw(rng: random.Random, n: int, kept: bool = False, without: Iterable[str] = ()) -> list[Invention]:
    barred = set(without)
    pairs = zip(creators(rng, n, kept, barred), inventions(rng, n, kept, barred), strict=True)
    return [Invention(a, b) for a, b in pairs]
