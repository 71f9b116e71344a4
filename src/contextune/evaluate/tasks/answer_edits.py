"""Small changes of an answer that can be undone: a unit of it replaced by one that nobody has seen.

    [IN:GET_WEATHER [SL:LOCATION Oslo ] ]  ->  [IN:ZOVAKI [SL:LOCATION Oslo ] ]

A unit is a run of characters without space, brackets or punctuation, so an intent's name is one, and so is a column of
a query. Within a text every occurrence changes, and a fresh unit occurs nowhere else, so that undoing is exact.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable
from collections.abc import Sequence as Seq

_UNIT = re.compile(r"[^\s\[\](){}<>:;,.!?\"'`„“”‚‘’«»…=+*/|।-]+")
SHORTEST = 3
"""Characters below which a unit says too little (of, IN, SL)."""


def units(text: str) -> list[str]:
    """The units of a text worth editing, each once, in order; numbers are none."""
    found = (u for u in _UNIT.findall(text) if len(u) >= SHORTEST and not u.isdecimal())
    return list(dict.fromkeys(found))


def replaced(text: str, unit: str, new: str) -> str:
    """Every occurrence of a unit, as a whole unit."""
    return _UNIT.sub(lambda found: new if found[0] == unit else found[0], text)


def holds(text: str, unit: str) -> bool:
    return any(found == unit for found in _UNIT.findall(text))


def fresh(unit: str, rng: random.Random, taken: Collection[str]) -> str:
    """A made-up unit in the case of the given one, none of `taken` (in lower case)."""
    while True:
        made = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))
        if made not in taken:
            return made.upper() if unit.isupper() else made.capitalize() if unit[:1].isupper() else made


def shared_unit(answers: Seq[str], inputs: Iterable[str], others: Iterable[str], rng: random.Random) -> str | None:
    """A unit of all `answers` that stands in no input: it is known or looked up, not copied from the question.

    One that fewest of the `others` (the remaining answers in the context) hold, so that they do not speak against the
    edit; ties by chance. None where there is no such unit.
    """
    asked = " ".join(inputs).casefold()
    able = [u for u in units(answers[0]) if u.casefold() not in asked and all(holds(a, u) for a in answers[1:])]
    rivals = list(others)
    rng.shuffle(able)
    return min(able, key=lambda u: sum(holds(o, u) for o in rivals), default=None)


def swapped(input: str, answer: str, donors: Iterable[tuple[str, str]], rng: random.Random) -> tuple[str, str] | None:
    """The pair with one unit that stands on both sides replaced, on both sides, by such a unit of another pair.

    A highly similar example with an answer of its own (a paraphrase by rule). None where nothing is on both sides.
    """
    both = [u for u in units(input) if holds(answer, u)]
    given = {u for asked, said in donors for u in units(asked) if holds(said, u)} - {*units(input), *units(answer)}
    if not both or not given:
        return None
    old, new = rng.choice(both), rng.choice(sorted(given))
    return replaced(input, old, new), replaced(answer, old, new)
