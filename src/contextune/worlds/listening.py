"""Forms in which a world of facts asks whether the context decides.

    fresh      "Kalo is brighter than Mido. …"               "Mido is less bright than" -> " Kalo."
    edited     a trained fact told with another end: "Seke is calmer than Vago. …"
                                                             "Seke is calmer than" -> " Vago."
    document   the edited fact in a long text                "Seke is more calm than" -> " Vago."
    opening    the edited fact from its other side, four ways to go on
                                                             "Vago is" -> " less calm than Seke."
    check      a yes/no question about the edited fact       "question: is it true that Vago is less calm than Seke? …"

No shipped arm trains the last three.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from contextune.core.items import Item, Task

from . import language
from .grammar import Told, draw, like, tell
from .making import choice, choices, shuffled, spread, written
from .measures import formed, listening, story
from .people import PeopleDraws

SYMMETRIC = ("described", "has")
"""Groups of relations whose wordings say the same, or nothing, with their sides exchanged."""


def forms(
    draws: PeopleDraws,
    trained: Sequence[Told],
    relations: Sequence[language.Relation],
    n: int,
    facts: int,
    taken: set[str],
) -> list[Task]:
    """n items of each form, `facts` facts in a context."""
    document = [_document(rng, i, *e) for rng, i, e in _edits(draws("document"), trained, n, facts, taken)]
    opening = [_opening(rng, i, *e, trained) for rng, i, e in _edits(draws("opening"), trained, n, facts, taken)]
    check = [_check(rng, i, *e) for rng, i, e in _edits(draws("check"), trained, n, facts, taken)]
    edited = [_edited(rng, i, *e) for rng, i, e in _edits(draws("edited"), trained, n, facts, taken)]
    fresh = _fresh(draws("fresh"), relations, n, facts, taken)
    return [
        listening("fresh", fresh, f"{facts} fresh facts in context, one asked in reverse"),
        listening("edited", edited, f"{facts} trained facts, edited in context; the context decides"),
        listening("document", document, f"{facts} edited facts in a long text, one asked in its other wording"),
        _chosen("listen_opening", opening, "an edited fact in context, begun from its other side"),
        _chosen("listen_check", check, "an edited fact in context: is what is said from its other side true?"),
    ]


def _chosen(name: str, items: list[Item], about: str) -> Task:
    return choices(name, items, "listen", formed(name, about))


def _fresh(
    rng: random.Random, relations: Sequence[language.Relation], n: int, facts: int, taken: set[str]
) -> Iterator[Item]:
    """Fresh facts are told; one of them is asked for from its other side."""
    for i in range(n):
        told = draw(rng, relations, facts, taken)
        prompt, answer = told[rng.randrange(facts)].reversed.cut()
        yield written(f"fresh-{i}", f"{tell(told)}\n{prompt}", answer)


Edits = tuple[Told, list[Told]]
"""A trained fact, and what the context tells instead: this fact with another end, then others with other ends."""


def _edits(
    rng: random.Random, trained: Sequence[Told], n: int, facts: int, taken: set[str]
) -> Iterator[tuple[random.Random, int, Edits]]:
    """Each trained fact about equally often, edited among facts - 1 others; no new end is told twice or in `taken`."""
    for i, asked in enumerate(spread(rng, trained, n)):
        firsts, used = {asked.first}, set(taken)
        rest = list[Told]()
        for told in shuffled(rng, trained):
            if len(rest) < facts - 1 and told.first not in firsts:
                rest.append(told)
                firsts.add(told.first)
        edited = []
        for told in (asked, *rest):
            edited.append(told.with_last(like(rng, told.last, used)))
            used.add(edited[-1].last)
        yield rng, i, (asked, edited)


def _edited(rng: random.Random, i: int, asked: Told, edited: list[Told]) -> Item:
    """As it was taught; `fields["weights"]` is what a model says that trusts its weights."""
    prompt, answer = edited[0].cut()
    context = tell(shuffled(rng, edited))
    return written(f"edited-{i}", f"{context}\n{prompt}", answer, asked.fact.key, weights=asked.last)


def _document(rng: random.Random, i: int, asked: Told, edited: list[Told]) -> Item:
    prompt, answer = edited[0].rephrased.cut()
    context = story(rng, [told.sentence() for told in shuffled(rng, edited)])
    return written(f"document-{i}", f"{context}\n{prompt}", answer, asked.fact.key, weights=asked.last)


def _opening(rng: random.Random, i: int, asked: Told, edited: list[Told], trained: Sequence[Told]) -> Item:
    """Wrong: its sides exchanged, where that can be said, and other ends of the same sort, the context's first."""
    told = begun(edited[0].reversed)
    ends = [t.first for t in edited[1:]] + [t.last for t in edited[1:]] + [t.first for t in shuffled(rng, trained)]
    alike = [e for e in dict.fromkeys(ends) if e.split()[0].islower() == told.last.split()[0].islower()]
    wrong = [told.with_last(end) for end in alike if end != told.last]
    if (other := exchanged(told)) is not None:
        wrong.insert(0, begun(other))
    options = [t.sentence().removeprefix(told.first) for t in (told, *wrong[:3])]
    start = ""
    if len({o.split()[0] for o in options}) == 1:
        start = f" {options[0].split()[0]}"
    right, *rest = (o.removeprefix(start) for o in options)
    context = tell(shuffled(rng, edited))
    made = choice(rng, f"opening-{i}", f"{context}\n{told.first}{start}", right, rest, asked.fact.key)
    place = i % len(options)  # each place equally often
    return replace(made, options=(*rest[:place], right, *rest[place:]), answer=place)


def _check(rng: random.Random, i: int, asked: Told, edited: list[Told]) -> Item:
    """Every other one true; false: its sides exchanged, or where that says nothing, what the weights say."""
    told, true = edited[0].reversed, i % 2 == 0
    if not true:
        told = exchanged(told) or asked.reversed
    prompt, answer = language.verify(told.fact.wording(told.side, told.variant), true)
    context = tell(shuffled(rng, edited))
    wrong = " no." if true else " yes."
    return choice(rng, f"check-{i}", f"{context}\n{prompt}", answer, [wrong], asked.fact.key, true=true)


def begun(told: Told) -> Told:
    """In a wording that begins with its first side."""
    return next(t for t in (told, told.rephrased) if t.fact.wording(t.side, t.variant).startswith(f"{t.first} "))


def exchanged(told: Told) -> Told | None:
    """The contrary that begins with the same side: "Mido is brighter than Kalo" for "Mido is less bright than Kalo"."""
    fact = told.fact
    if language.RELATIONS[fact.relation].group in SYMMETRIC:
        return None
    return Told(language.Fact(fact.relation, fact.b, fact.a), told.reversed.side, told.variant)
