"""Edits of the worlds' records, by their grammar.

facts    what a fact says of its subject becomes something new, which only the context tells
slots    a template's parts are listed in another order, shown by one example
cipher   a word gets another code, shown by one example
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import ClassVar

from contextune.contexts.editing.base import DistractorEditor, Edit, Editor, others, swapped
from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record, Segment
from contextune.retrieval import Pool, given

from .. import language, solve
from ..grammar import SIDES, Told


@registry.editors("facts")
class Facts(DistractorEditor):
    """Statements of the language: "note that Kalo is brighter than Mido." """

    generality: ClassVar[int | None] = 0

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Facts:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        self.told = {r.id: told for r in pool.records if (told := self.read(r))}
        self.names = {side for told in self.told.values() for t in told for side in (t.first, t.last)}

    def read(self, record: Record) -> tuple[Told, ...]:
        """The facts of a record as it tells them."""
        text = record.text
        return tuple(_told(fact, text) for fact in solve.read(text))

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        """Its last part replaced, or all of it; told in any wording, and asked again from either side."""
        told = self.told.get(record.id) or self.read(record)
        if not told:
            return None
        old = rng.choice(told)
        new = self._new(old, rng)
        prompt, answer = _asked(new, rng)
        asked = (Segment(prompt, "context"), Segment(answer, "target"))
        shown = {new.first, new.last}

        def rewrite(other: Record) -> Record | None:
            mine = self.told.get(other.id) or self.read(other)
            if not mine:
                return None
            made = self._new(rng.choice(mine), rng)
            if shown & {made.first, made.last}:
                return None  # it would say something else of the same thing
            shown.update((made.first, made.last))
            return self._record(other, made, rng)

        what = {"editor": "facts", "from": old.fact.wording(old.side), "to": new.fact.wording(new.side)}
        learned = replace(record, segments=asked, ends=True)
        return Edit(learned, (self._record(record, new, rng),), rewrite, what)

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """The same said of somebody else, in the other wording."""
        told = self.told.get(record.id) or self.read(record)
        if not told:
            return None
        t = rng.choice(told)
        other = Told(
            language.Fact(t.fact.relation, *_with(t.fact, t.first, self._fresh(t.first, rng))), t.side, t.variant
        )
        return self._record(record, other.rephrased, rng)

    def other(self, record: Record, rng: random.Random) -> Record | None:
        """The same relation, told from the same side, between two whom no record names."""
        told = self.told.get(record.id) or self.read(record)
        if not told:
            return None
        t = rng.choice(told)
        first, last = self._fresh(t.first, rng), self._fresh(t.last, rng)
        a, b = (first, last) if t.side == "forward" else (last, first)
        return self._record(record, Told(language.Fact(t.fact.relation, a, b), t.side, rng.randrange(2)), rng)

    def _new(self, told: Told, rng: random.Random) -> Told:
        made = told.with_last(self._fresh(told.last, rng))
        if rng.random() < 0.5:
            made = Told(
                language.Fact(made.fact.relation, *_with(made.fact, made.first, self._fresh(made.first, rng))),
                made.side,
            )
        return Told(made.fact, made.side, rng.randrange(2))

    def _fresh(self, text: str, rng: random.Random) -> str:
        """Something of the same sort that no record names, out of the names that no test has."""
        while True:
            if text.startswith("the "):
                found = language.description(rng)
            elif text.startswith("a "):
                found = language.feature(rng)
            else:
                (found,) = language.names(rng, 1, test=False)
            if found not in self.names and found != text:
                return found

    def _record(self, record: Record, told: Told, rng: random.Random) -> Record:
        said = told.sentence(rng.choice(language.PREAMBLES) if rng.random() < 0.3 else "")
        return Record(f"{record.id}~edited", (Segment(said, "target"),), record.document)


def _told(fact: language.Fact, text: str) -> Told:
    """As the text tells it; where that is a question, in the first wording from the side that comes first."""
    for side in SIDES:
        for variant in (0, 1):
            if fact.wording(side, variant) in text:
                return Told(fact, side, variant)
    return Told(fact, "forward" if text.find(fact.a) < text.find(fact.b) else "backward")


def _asked(told: Told, rng: random.Random) -> tuple[str, str]:
    """As it was told, reversed, or as a question for either side."""
    told = Told(told.fact, rng.choice(SIDES), rng.randrange(2))
    return (
        told.cut(rng.choice(language.PREAMBLES) if rng.random() < 0.3 else "")
        if rng.random() < 0.6
        else told.question()
    )


def _with(fact: language.Fact, old: str, new: str) -> tuple[str, str]:
    return (new, fact.b) if fact.a == old else (fact.a, new)


PAIR = re.compile(r"\s*(\S+) (\S+)")


@registry.editors("slots")
class Slots(Editor):
    """Commands and their frames: "send Kalo to Mido" -> "[to Mido, send Kalo]"."""

    generality: ClassVar[int | None] = 1

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Slots:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        self.records = pool.records
        self.by_template: dict[tuple[str, ...], list[int]] = {}
        self.values: list[str] = []
        for place, record in enumerate(pool.records):
            if (read := self.read(record)) is not None:
                self.by_template.setdefault(read[0], []).append(place)
                self.values += read[1]
        self.values = sorted(set(self.values))

    def read(self, record: Record) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]] | None:
        """Marks, values, and the order in which the frame lists them."""
        frame = re.fullmatch(r"\s*\[(.+)\]\.?\s*", record.target)
        command = re.search(r"input: (.+) output:", given(record))
        if frame is None or command is None:
            return None
        marks, values = zip(*PAIR.findall(command[1]), strict=True)
        parts, listed = [f"{m} {v}" for m, v in zip(marks, values, strict=True)], frame[1].split(", ")
        if sorted(parts) != sorted(listed) or len(set(parts)) != len(parts):
            return None
        return marks, values, tuple(parts.index(part) for part in listed)

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        read = self.read(record)
        if read is None:
            return None
        marks, values, order = read
        new = order
        while new == order:
            new = tuple(rng.sample(range(len(order)), len(order)))

        def rewrite(other: Record) -> Record | None:
            mine = self.read(other)
            return _listed(other, mine[0], mine[1], new) if mine is not None and mine[0] == marks else other

        asked = _listed(record, marks, values, new)
        alike = [i for i in self.by_template.get(marks, ()) if self._values(i) != values]
        near = self.records[rng.choice(alike)] if alike else self.vary(record, rng)
        telling = rewrite(near) if near is not None else None
        what = {"editor": "slots", "template": " ".join(marks), "from": list(order), "to": list(new)}
        return Edit(asked, (telling,), rewrite, what) if telling is not None else None

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """One value replaced in the command and its frame."""
        read = self.read(record)
        if read is None:
            return None
        old = rng.choice(read[1])
        return _replaced(record, old, others(rng, self.values, read[1]))

    def _values(self, place: int) -> tuple[str, ...] | None:
        read = self.read(self.records[place])
        return read[1] if read is not None else None


def _listed(record: Record, marks: Seq[str], values: Seq[str], order: Seq[int]) -> Record:
    frame = ", ".join(f"{marks[i]} {values[i]}" for i in order)
    return swapped(record, target=lambda text: f" [{frame}].")


def _replaced(record: Record, old: str, new: str | None) -> Record | None:
    if new is None:
        return None

    def change(text: str) -> str:
        return re.sub(rf"\b{re.escape(old)}\b", lambda _: new, text)

    return swapped(replace(record, id=f"{record.id}~varied"), context=change, target=change)


@registry.editors("cipher")
class Cipher(Editor):
    """Words and their codes, neighbours changing places: "Kalo Mido Rune" -> "Mita Bako Sede"."""

    generality: ClassVar[int | None] = 2

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Cipher:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        self.records = pool.records
        self.having: dict[str, list[int]] = {}
        self.codes: dict[str, set[str]] = {}
        for place, record in enumerate(pool.records):
            for word, code in (self.read(record) or {}).items():
                self.having.setdefault(word, []).append(place)
                self.codes.setdefault(word, set()).add(code)
        self.all_codes = sorted({c for codes in self.codes.values() for c in codes})

    def read(self, record: Record) -> dict[str, str] | None:
        """The code of each word."""
        command = re.search(r"input: (.+) output:", given(record))
        if command is None or "[" in record.target:
            return None
        words, made = command[1].split(), record.target.strip().removesuffix(".").split()
        return dict(zip(words, _exchanged(made), strict=True)) if len(words) == len(made) else None

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        read = self.read(record)
        if read is None:
            return None
        known = [w for w in read if any(self.records[i].id != record.id for i in self.having.get(w, ()))]
        if not known:
            return None
        word = rng.choice(known)
        code = others(rng, self.all_codes, [*self.codes[word], *read.values()])

        def rewrite(other: Record) -> Record | None:
            mine = self.read(other)
            if mine is None or word not in mine or code is None:
                return other
            return _enciphered(other, {**mine, word: code})

        asked = rewrite(record)
        place = rng.choice([i for i in self.having[word] if self.records[i].id != record.id])
        telling = rewrite(self.records[place])
        if code is None or asked is None or telling is None:
            return None
        return Edit(asked, (telling,), rewrite, {"editor": "cipher", "word": word, "from": read[word], "to": code})

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """One word that always has the same code replaced by another such word."""
        read = self.read(record)
        plain = sorted(w for w, codes in self.codes.items() if len(codes) == 1)
        if read is None or not (here := [w for w in read if w in plain]):
            return None
        old, new = rng.choice(here), others(rng, plain, list(read))
        if new is None or (varied := _replaced(record, old, new)) is None:
            return None
        (code,) = self.codes[new]
        return _enciphered(varied, {new if w == old else w: code if w == old else c for w, c in read.items()})


def _enciphered(record: Record, codes: dict[str, str]) -> Record:
    made = " ".join(_exchanged(list(codes.values())))
    return swapped(record, target=lambda text: f" {made}.")


def _exchanged(words: list[str]) -> list[str]:
    """First and second, third and fourth … change places; twice gives the same again."""
    made = list(words)
    for i in range(0, len(made) - 1, 2):
        made[i], made[i + 1] = made[i + 1], made[i]
    return made
