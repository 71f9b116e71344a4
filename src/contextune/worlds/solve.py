"""An exact reader and reasoner for the language: what do these texts say, and what follows from them?

It reads sentences and answered questions back into facts by the language's wordings alone and knows
nothing of how a world was made, so it can check worlds and anything that was generated about them.

`Knowledge(facts).judge(fact)` is True where the fact follows, False where its contrary does, else None:

    comparisons    a is brighter than b: not b than a; transitive
    kinds          transitive; features, homes and deeds are inherited from what a thing is a kind of
    all, some, no  by their models: every way in which the terms can overlap; terms may be empty
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache

from . import language
from .grammar import OPENINGS
from .language import Fact

THING = r"(?:[A-Z][a-z]+|the [a-z]+ of the [a-z]+ [a-z]+|a (?:long|round) [a-z]+ [a-z]+)"
QUESTION = re.compile(r"question: (.+?)\? answer: (.+?)\.")
OPENING = re.compile("(?:" + "|".join(map(re.escape, sorted(OPENINGS, key=len, reverse=True))) + ") ")


def _pattern(form: str) -> re.Pattern[str]:
    slots = {"{a}": f"(?P<a>{THING})", "{b}": f"(?P<b>{THING})"}
    return re.compile("".join(slots.get(part, re.escape(part)) for part in re.split(r"(\{[ab]\})", form)))


@lru_cache(maxsize=1)
def _wordings() -> list[tuple[re.Pattern[str], str]]:
    """Every wording. Those of "described", which say no more than "is", come last."""
    relations = sorted(language.RELATIONS.values(), key=lambda r: r.name == "described")
    return [(_pattern(form), r.name) for r in relations for form in (*r.forward, *r.backward)]


@lru_cache(maxsize=1)
def _questions() -> list[tuple[re.Pattern[str], str, str]]:
    """Every question and the side that it asks for."""
    relations = sorted(language.RELATIONS.values(), key=lambda r: r.name == "described")
    sides = [(r, form, side) for r in relations for side, forms in (("a", r.asks_a), ("b", r.asks_b)) for form in forms]
    return [(_pattern(form), r.name, side) for r, form, side in sides]


def _fact(relation: str, a: str, b: str) -> Fact:
    """ "Kalo is the painter" and "the painter is Kalo" have one form: the name comes first."""
    return Fact(relation, b, a) if relation == "described" and a.startswith("the ") else Fact(relation, a, b)


@lru_cache(maxsize=100_000)
def sentence(text: str) -> Fact | None:
    """The fact that a sentence without its full stop states, or None."""
    said = OPENING.sub("", text.strip(), count=1) if OPENING.match(text.strip()) else text.strip()
    for pattern, relation in _wordings():
        if found := pattern.fullmatch(said):
            return _fact(relation, found["a"], found["b"])
    return None


def answered(question: str, answer: str) -> Fact | None:
    """The fact that a question says together with its answer, or None. Yes/no questions say none."""
    for pattern, relation, side in _questions():
        if found := pattern.fullmatch(question):
            other = found["b" if side == "a" else "a"]
            return _fact(relation, answer, other) if side == "a" else _fact(relation, other, answer)
    return None


def read(text: str) -> Iterator[Fact]:
    """The facts that a text states, in order; filler states none."""
    for part in re.split(r"\n", text):
        for question, answer in QUESTION.findall(part):
            if (fact := answered(question, answer)) is not None:
                yield fact
        for clause in QUESTION.sub("", part).split("."):
            if (fact := sentence(clause.rpartition(": ")[2].removeprefix("- "))) is not None:
                yield fact


class Knowledge:
    """What follows from facts."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.facts = frozenset(facts)

    def judge(self, fact: Fact) -> bool | None:
        group = language.RELATIONS[fact.relation].group
        if group == "quantified":
            return self._quantified(fact)
        if group == "comparative":
            links = self._links(fact.relation)
            return True if fact.b in _reach(links, fact.a) else False if fact.a in _reach(links, fact.b) else None
        if group == "kind":
            return True if fact.b in _reach(self._links("kind"), fact.a) else None
        if group in ("described", "word"):
            return True if fact in self.facts else None
        kinds = (fact.a, *_reach(self._links("kind"), fact.a))
        return True if any(Fact(fact.relation, kind, fact.b) in self.facts for kind in kinds) else None

    def _links(self, relation: str) -> dict[str, set[str]]:
        return self._all_links.get(relation, {})

    @cached_property
    def _all_links(self) -> dict[str, dict[str, set[str]]]:
        links: dict[str, dict[str, set[str]]] = {}
        for f in self.facts:
            links.setdefault(f.relation, {}).setdefault(f.a, set()).add(f.b)
        return links

    @cached_property
    def _premises(self) -> dict[str, set[Fact]]:
        about: dict[str, set[Fact]] = {}
        for f in self.facts:
            if f.relation in language.QUANTIFIERS:
                about.setdefault(f.a, set()).add(f)
                about.setdefault(f.b, set()).add(f)
        return about

    def _quantified(self, fact: Fact) -> bool | None:
        """Check every model over the terms that premises link to the fact's own, at most 4 (2^16 models).

        Terms that nothing links are taken to leave each other open.
        """
        links = {t: {x for f in facts for x in (f.a, f.b)} for t, facts in self._premises.items()}
        terms = _reach(links, fact.a)
        if fact.b not in terms:
            return None
        premises = {f for t in terms for f in self._premises.get(t, ())}
        if len(terms) > 4:
            raise ValueError(f"{len(terms)} linked terms are too many to check: {sorted(terms)}")
        order = tuple(sorted(terms))
        place = {t: i for i, t in enumerate(order)}
        said = frozenset((f.relation, place[f.a], place[f.b]) for f in premises)
        return _follows(len(order), said, (fact.relation, place[fact.a], place[fact.b]))


def _reach(links: dict[str, set[str]], start: str) -> set[str]:
    found, new = set[str](), {start}
    while new:
        new = {y for x in new for y in links.get(x, ())} - found
        found |= new
    return found


Form = tuple[str, int, int]


@lru_cache(maxsize=10_000)
def _follows(n: int, premises: frozenset[Form], conclusion: Form) -> bool | None:
    """A model is a set of inhabited regions; a region is the set of terms (bits) that hold of it."""

    def both(x: int, y: int) -> int:
        return sum(1 << r for r in range(1 << n) if r >> x & 1 and r >> y & 1)

    def only(x: int, y: int) -> int:
        return sum(1 << r for r in range(1 << n) if r >> x & 1 and not r >> y & 1)

    empty = 0  # regions that "all" and "no" forbid; those that "some" asks for must meet what is left
    for q, x, y in premises:
        empty |= only(x, y) if q == "all" else both(x, y) if q == "no" else 0
    most = ((1 << (1 << n)) - 1) & ~empty
    wanted = [both(x, y) & most for q, x, y in premises if q == "some"]
    if not all(wanted):
        raise ValueError("the premises contradict each other")
    q, x, y = conclusion
    area = (only(x, y) if q == "all" else both(x, y)) & most
    must = any(not w & ~area for w in wanted)  # somebody is bound to live there
    if q == "some":
        return True if must else False if not area else None
    return True if not area else False if must else None
