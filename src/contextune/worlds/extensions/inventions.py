"""Edits of the world `inventions`: a trained invention by a creator whom no test and no record names."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import ClassVar

from contextune.contexts.editing.base import DistractorEditor, Edit
from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record, Segment
from contextune.retrieval import Pool

from .. import english
from ..english import SIDES, TAUGHT, Invention, Told

NAME, THING = (
    re.compile(r"[A-Z][a-z]+ [A-Z][a-z]+"),
    re.compile(r"(?:\b[Tt]he )?([A-Z][a-z]+ [A-Z][a-z]+ of [A-Z][a-z]+)"),
)


@registry.editors("inventions")
class Inventions(DistractorEditor):
    """Statements of who created what."""

    generality: ClassVar[int | None] = 0

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Inventions:
        return cls()

    def read(self, record: Record) -> tuple[Invention, Told] | None:
        """The one invention and the one name that a text has, in whatever words, and which of them comes first."""
        text = "".join(s.text for s in record.segments)
        things, names = set(THING.findall(text)), set(NAME.findall(THING.sub("_", text)))
        if len(things) != 1 or len(names) != 1:
            return None
        (thing,), (name,) = things, names
        return Invention(name, f"the {thing}"), "creator" if text.index(name) < text.index(thing) else "invention"

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        """Another creator, or all of it new; asked again from either side, or as a question."""
        if (read := self.read(record)) is None:
            return None
        old, taken = read[0], set[str]()
        new = self._new(old, rng, taken)
        side = rng.choice(SIDES)
        prompt, answer = new.cut(side, rng.randrange(TAUGHT)) if rng.random() < 0.6 else new.question(side)
        asked = (Segment(prompt, "context"), Segment(f"{answer}.", "target"))

        def rewrite(other: Record) -> Record | None:
            mine = self.read(other)
            if mine is None or mine[0].b == old.b:
                return None
            return self._record(other, self._new(mine[0], rng, taken), rng)

        what = {"editor": "inventions", "from": old.sentence("creator"), "to": new.sentence("creator")}
        learned = replace(record, segments=asked, ends=True)
        return Edit(learned, (self._record(record, new, rng),), rewrite, what)

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """The same said of another creator."""
        read = self.read(record)
        return None if read is None else self._record(record, self._new(read[0], rng, set(), whole=False), rng)

    def other(self, record: Record, rng: random.Random) -> Record | None:
        """As the record tells it, of an invention and a creator that no record names."""
        if (read := self.read(record)) is None:
            return None
        (made,) = english.draw(rng, 1, kept=True)
        return self._record(record, made, rng, read[1])

    def _new(self, old: Invention, rng: random.Random, taken: set[str], whole: bool | None = None) -> Invention:
        (creator,) = english.creators(rng, 1, kept=True, without=taken)
        taken.add(creator)
        if whole is None:
            whole = rng.random() < 0.5
        return Invention(creator, english.inventions(rng, 1, kept=True)[0] if whole else old.b)

    def _record(self, record: Record, told: Invention, rng: random.Random, side: Told | None = None) -> Record:
        from_side: Told = side if side is not None else rng.choice(SIDES)
        said = told.sentence(from_side, rng.randrange(TAUGHT))
        return Record(f"{record.id}~edited", (Segment(said, "target"),), record.document)
