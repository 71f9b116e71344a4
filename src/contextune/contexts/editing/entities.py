"""Edits of real text: another label for each label, or another name wherever a name stands.

    labels     all answers of a context are exchanged by one permutation, and the record's with them
    entities   a capitalised name of the answer becomes another of the pool's, in the record and in every example
               (Longpre et al. 2021, arXiv 2109.05052)

A name that stands in the answer must be told by the context: it stands in the record's own input too, or in
an example that is like the record.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record
from contextune.retrieval import LOW, Pool, answer, given

from .base import DistractorEditor, Edit, Editor, others, swapped

NAME = re.compile(r"\b[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*")
MANY = 20
"""Different answers from which on they are no labels."""


@registry.editors("labels")
class Labels(Editor):
    """Pairs with few different answers."""

    generality: ClassVar[int | None] = 10

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Labels:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        counts = Counter(r.target for r in pool.records if answer(r))
        few = 1 < len(counts) <= MANY and all(n > 1 for n in counts.values())
        self.labels = sorted(counts) if few else []
        self.having = {label: [r for r in pool.records if r.target == label and answer(r)] for label in self.labels}

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        if record.target not in self.labels or not answer(record):
            return None
        turned = dict(zip(self.labels, deranged(self.labels, rng), strict=True))

        def rewrite(other: Record) -> Record | None:
            return swapped(other, target=lambda text: turned.get(text, text)) if answer(other) else None

        alike = [r for r in self.having[record.target] if r.id != record.id and given(r) != given(record)]
        asked, telling = rewrite(record), rewrite(rng.choice(alike)) if alike else None
        if asked is None or telling is None:
            return None
        return Edit(asked, (telling,), rewrite, {"editor": "labels", "from": record.target, "to": asked.target})

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        return None


def deranged(values: list[str], rng: random.Random) -> list[str]:
    """A permutation that leaves nothing in its place."""
    while True:
        made = rng.sample(values, len(values))
        if all(a != b for a, b in zip(values, made, strict=True)):
            return made


@registry.editors("entities")
class Entities(DistractorEditor):
    """Texts and pairs that name people, places, works …"""

    generality: ClassVar[int | None] = 20
    last_resort: ClassVar[bool] = True

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Entities:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.within = {name for r in pool.records for name, first in _names(_text(r)) if not first}
        self.having: dict[str, list[int]] = {}
        for place, record in enumerate(pool.records):
            for name in self.names(_text(record)):
                self.having.setdefault(name, []).append(place)
        self.all_names = sorted(self.having)

    def names(self, text: str) -> list[str]:
        """Its capitalised names; a word that only ever begins a sentence is none."""
        return list(dict.fromkeys(name for name, _ in _names(text) if name in self.within))

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        """Names of the answer (of a raw text, of the text) in turn, until the context can tell one."""
        inside = set(self.names(given(record))) if answer(record) else set()
        for old in rng.sample(found := self.names(record.target), len(found)):
            telling = self._telling(record, old)
            if old not in inside and telling is None:
                continue
            if (new := self._another(record, old, rng)) is None:
                continue
            what = {"editor": "entities", "from": old, "to": new}

            def rewrite(other: Record, old: str = old, new: str = new) -> Record | None:
                return renamed(other, old, new)

            shown = (renamed(telling, old, new),) if telling is not None else ()
            return Edit(renamed(record, old, new), shown, rewrite, what)
        return None

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """A name that stands in input and answer becomes another one."""
        shared = [n for n in self.names(record.target) if answer(record) and n in self.names(given(record))]
        old = rng.choice(shared) if shared else None
        new = self._another(record, old, rng) if old is not None else None
        if old is None or new is None:
            return None
        return renamed(replace(record, id=f"{record.id}~varied"), old, new)

    def exchange(self, record: Record) -> tuple[str, str] | None:
        """A name of input and answer, and another one that could stand there: always the same two."""
        rng = random.Random(record.id)
        shared = [n for n in self.names(record.target) if n in self.names(given(record))]
        old = rng.choice(shared) if shared else None
        new = self._another(record, old, rng) if old is not None else None
        return None if old is None or new is None else (old, new)

    def other(self, record: Record, rng: random.Random) -> Record | None:
        """Every name becomes another one; None where there is none to change or to take."""
        made = replace(record, id=f"{record.id}~other")
        found = self.names(_text(record))
        for old in found:
            if (new := self._another(made, old, rng)) is None:
                return None
            made = renamed(made, old, new)
        return made if found else None

    def _another(self, record: Record, old: str, rng: random.Random) -> str | None:
        size = [n for n in self.all_names if len(n.split()) == len(old.split())]
        here = _text(record)
        return others(rng, size or self.all_names, [old, *(n for n in self.having if n in here)])

    def _telling(self, record: Record, name: str) -> Record | None:
        """The most similar example that has the name and is not merely any text."""
        row = self.pool.rows.get(self.pool.key(record))
        places = [i for i in self.having.get(name, ()) if self.pool.records[i].id != record.id]
        if row is None or not places:
            return None
        scores = self.pool.space.scores([row], places)[0].tolist()
        best = max(range(len(places)), key=lambda i: (scores[i], -places[i]))
        return self.pool.records[places[best]] if scores[best] >= LOW else None


def renamed(record: Record, old: str, new: str) -> Record:
    def change(text: str) -> str:
        return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, text)

    return swapped(record, context=change, target=change)


def _names(text: str) -> Iterator[tuple[str, bool]]:
    """Each capitalised name, and whether it begins a sentence."""
    for match in NAME.finditer(text):
        before = text[: match.start()].rstrip(" \"'“‘([")
        yield match[0], not before or before[-1] in ".!?:\n"


def _text(record: Record) -> str:
    return "".join(s.text for s in record.segments)
