"""Documents that tell facts in several styles, every fact sooner or later and each about equally often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from .grammar import FILLER, OPENINGS, Told
from .making import shuffled, spread

SHORTEST = 4
"""Facts a document; one of each member at least."""
ArticleStyle = Callable[[random.Random, Sequence[Told]], str]


def plain(rng: random.Random, told: Sequence[Told]) -> str:
    return " ".join(t.sentence() for t in told)


def opened(rng: random.Random, told: Sequence[Told]) -> str:
    """Some sentences begin with an opening."""
    return " ".join(t.sentence(rng.choice(OPENINGS) if rng.random() < 0.5 else "") for t in told)


def listed(rng: random.Random, told: Sequence[Told]) -> str:
    return "\n".join(f"- {t.sentence()}" for t in told)


def padded(rng: random.Random, told: Sequence[Told]) -> str:
    """Filler between the facts."""
    said = [t.sentence() for t in told]
    for filler in rng.sample(FILLER, min(len(said) // 3 + 1, len(FILLER))):
        said.insert(rng.randrange(len(said) + 1), f"{filler}.")
    return " ".join(said)


def titled(rng: random.Random, told: Sequence[Told]) -> str:
    about = shuffled(rng, dict.fromkeys(t.fact.a for t in told))
    return f"about {', '.join(about)}:\n{plain(rng, told)}"


def interview(rng: random.Random, told: Sequence[Told]) -> str:
    """Questions and answers, which ask for what is told last."""
    return "\n".join("".join(t.question()) for t in told)


STYLES: tuple[ArticleStyle, ...] = (plain, opened, listed, padded, titled, interview)


Circles = Sequence[Sequence[Sequence[Told]]]
"""The facts of each member of each circle."""


def documents(rng: random.Random, circles: Circles, n: int, longest: int) -> Iterator[tuple[int, str, str]]:
    """n documents of 4 to `longest` facts as (circle, style, text).

    A document tells at least one fact of every member, then what has been told least.
    """
    told = Counter[Told]()
    for circle, style in zip(spread(rng, range(len(circles)), n), spread(rng, STYLES, n), strict=True):
        members = [sorted(shuffled(rng, facts), key=told.__getitem__) for facts in circles[circle]]
        chosen = [facts[0] for facts in members]
        rest = sorted(shuffled(rng, (f for facts in members for f in facts[1:])), key=told.__getitem__)
        chosen += rest[: max(0, rng.randint(SHORTEST, longest) - len(chosen))]
        told.update(chosen)
        yield circle, style.__name__, style(rng, shuffled(rng, chosen))
