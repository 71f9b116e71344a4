"""Forms in which a world of facts asks whether an irrelevant context does harm.

    trained   "Kalo is brighter than Mido."

    lure      the same relation, told of others      "Seke is brighter than Vago. …"
    near      of others whose names begin like it    "Kaje is brighter than Vago. …"
    subject   of itself, in other relations          "Kalo is calmer than Vago. …"
    story     the world's relations, of others, in a long text
    common    the world's relations, of others, before a common fact

No shipped arm trains near, subject and story.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from contextune.core.items import Item, Task

from . import language
from .grammar import Told, draw, like, tell
from .making import spread, written
from .measures import common, resisting, story
from .people import PeopleDraws


def forms(
    draws: PeopleDraws,
    trained: Sequence[Told],
    relations: Sequence[language.Relation],
    n: int,
    facts: int,
    taken: set[str],
) -> list[Task]:
    """n items of each form, `facts` facts in a context."""
    rng = draws("common")
    return [
        resisting(
            "lure",
            _lures(draws("lure"), trained, n, facts, taken),
            f"a trained fact asked for after {facts} facts about others",
        ),
        common(lambda: tell(draw(rng, relations, facts, taken))),
        resisting(
            "near",
            _near(draws("near"), trained, n, facts, taken),
            f"a trained fact asked for after {facts} facts about others of nearly its name",
        ),
        resisting(
            "subject",
            _subject(draws("subject"), trained, n, facts, taken),
            f"a trained fact asked for after {facts} other facts about the same thing",
        ),
        resisting(
            "story",
            _story(draws("story"), trained, relations, n, facts, taken),
            f"a trained fact asked for after a long text with {facts} facts about others",
        ),
    ]


def _item(name: str, i: int, context: str, asked: Told, lures: Sequence[Told]) -> Item:
    """`fields["lures"]` are the ends that stand in the context."""
    prompt, answer = asked.cut()
    return written(f"{name}-{i}", f"{context}\n{prompt}", answer, asked.fact.key, lures=[t.last for t in lures])


def _lures(rng: random.Random, trained: Sequence[Told], n: int, facts: int, taken: set[str]) -> Iterator[Item]:
    for i, asked in enumerate(spread(rng, trained, n)):
        lures = draw(rng, [language.RELATIONS[asked.fact.relation]], facts, taken)
        lures = [Told(t.fact, asked.side, asked.variant) for t in lures]
        yield _item("lure", i, tell(lures), asked, lures)


def _near(rng: random.Random, trained: Sequence[Told], n: int, facts: int, taken: set[str]) -> Iterator[Item]:
    for i, asked in enumerate(spread(rng, trained, n)):
        used, lures = set(taken), list[Told]()
        for _ in range(facts):
            first = namesake(rng, asked.first, used)
            last = like(rng, asked.last, used | {first})
            used |= {first, last}
            a, b = (first, last) if asked.side == "forward" else (last, first)
            lures.append(Told(language.Fact(asked.fact.relation, a, b), asked.side, asked.variant))
        yield _item("near", i, tell(lures), asked, lures)


def namesake(rng: random.Random, text: str, taken: set[str]) -> str:
    """A test name of the same first syllable, or a description or feature that shares all but its last word."""
    if text.split()[0] in ("the", "a"):
        *shared, last = text.split()
        words = language.OBJECTS if shared[0] == "the" else language.PARTS
        pool = [" ".join((*shared, w)) for w in words if w != last]
    else:
        found = re.match(r"[^aeiou]+[aeiou]", text)
        syllable = found[0] if found else text
        pool = [name for name in language.all_names(True) if name.startswith(syllable) and name != text]
    free = [x for x in pool if x not in taken]
    return rng.choice(free) if free else like(rng, text, taken)


def _subject(rng: random.Random, trained: Sequence[Told], n: int, facts: int, taken: set[str]) -> Iterator[Item]:
    """Comparisons of what is asked to be compared, deeds of whom is asked something else of; of names alone."""
    named = [told for told in trained if told.first[0].isupper()]
    known = {told.fact.relation for told in trained}
    deeds = [r for r in language.VERBS if r.name not in known]
    for i, asked in enumerate(spread(rng, named, n)):
        compared = language.RELATIONS[asked.fact.relation].group == "comparative"
        pool = [r for r in language.COMPARATIVES if r.name != asked.fact.relation] if compared else deeds
        used, lures = set(taken), list[Told]()
        for relation in rng.sample(pool, facts):
            last = language.names(rng, 1, without=used)[0]
            used.add(last)
            lures.append(Told(language.Fact(relation.name, asked.first, last)))
        yield _item("subject", i, tell(lures), asked, lures)


def _story(
    rng: random.Random,
    trained: Sequence[Told],
    relations: Sequence[language.Relation],
    n: int,
    facts: int,
    taken: set[str],
) -> Iterator[Item]:
    for i, asked in enumerate(spread(rng, trained, n)):
        others = draw(rng, relations, facts, taken)
        yield _item("story", i, story(rng, [t.sentence() for t in others]), asked, others)
