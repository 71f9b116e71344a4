"""Edits of real text: a value that the answer has from somewhere becomes another value of its type.

    input   Is it windy in Oslo tonight?     [IN:GET_WEATHER [SL:LOCATION Oslo ] [SL:DATE_TIME tonight ] ]
    edited  Is it windy in Bergen tonight?   [IN:GET_WEATHER [SL:LOCATION Bergen ] [SL:DATE_TIME tonight ] ]

copied   a span that stands in the input and in the answer: a slot's words, a literal, a name, a number. It is replaced
         at every place of both, or not at all.
told     a name of the answer alone, which another row tells (Longpre et al. 2021, arXiv 2109.05052)

A value's type is where it occurs: in the answer its slot, column, key, argument (`editing.forms`), or in plain text the
word before it on both sides; in the input the words beside it; and its shape (digits, capitals, endings). What replaces
it is such a value of another row. Structure is never touched, and an edited answer must still parse. What could mean
two things is left as it is: a value that stands anywhere else too, in part or in another case; a number beside one that
the answer has computed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record
from contextune.retrieval import LOW, Pool, answer, given

from .base import DistractorEditor, Edit
from .forms import agrees, read
from .spans import (
    NUMBER,
    WORD,
    Kind,
    Value,
    alone,
    clashing_articles,
    digits,
    names,
    one_after,
    shape,
    skeleton,
    splice,
    spots,
    texts_with,
    two_before,
)
from .sql import look_of, runs, spoken, stated

TRIES = 6
"""Values that are tried in the place of one."""
COMMON = 0.04
"""Share of the inputs from which on a word is no value but what inputs are made of."""
RARE = 0.005
"""Share of the texts up to which a word says something of the name behind it."""


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A value of a record and its type."""

    text: str
    kind: Kind


@registry.editors("values")
class Values(DistractorEditor):
    """Texts and pairs whose answers have values: names, numbers, slots, literals."""

    generality: ClassVar[int | None] = 20
    last_resort: ClassVar[bool] = True

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Values:
        return cls(pool)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        inputs = [given(r) for r in pool.records]
        words, least = texts_with(inputs), max(3, COMMON * len(inputs))
        self.inputs = texts_with([t.lower() for t in inputs])
        self.answers = texts_with([r.target.lower() for r in pool.records])
        self.rare = max(3, RARE * len(inputs))
        self.common = frozenset(w for w, n in words.items() if n >= least and w.islower())
        self.everywhere = {w for w, n in words.items() if n > len(inputs) / 2}
        self.names = {name for text in inputs for name, first in names(text) if not first}
        self.known: dict[tuple[str, str], list[TypedValue]] = {}
        self.having: dict[str, list[int]] = {}
        donors: dict[Kind, set[str]] = {}
        for place, record in enumerate(pool.records):
            for name in {n for n, _ in names(_text(record))}:
                self.having.setdefault(name, []).append(place)
            for value in [*self.copied(record), *self.told(record)]:
                donors.setdefault(value.kind, set()).add(value.text)
        self.donors = {kind: sorted(texts) for kind, texts in donors.items()}

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        """A copied value, which the record's own input tells; else a name that another row tells."""
        found = self.copied(record)
        for value in rng.sample(found, len(found)):
            if (made := self._replaced(record, value, rng)) is not None:
                what = {"editor": "values", "type": " ".join(value.kind), "from": value.text, "to": made[1]}
                return Edit(made[0], (), lambda other: other, what)
        told = self.told(record)
        for value in rng.sample(told, len(told)):
            telling = self._telling(record, value.text)
            for new in self._others(record, value, rng) if telling is not None else ():

                def rewrite(other: Record, old: str = value.text, new: str = new) -> Record | None:
                    return renamed(other, old, new)

                asked, shown = rewrite(record), rewrite(telling) if telling is not None else None
                if asked is not None and shown is not None:
                    what = {"editor": "values", "type": "told", "from": value.text, "to": new}
                    return Edit(asked, (shown,), rewrite, what)
        return None

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """A copied value becomes another one."""
        found = self.copied(record)
        tried = (self._replaced(record, value, rng) for value in rng.sample(found, len(found)))
        made = next((m for m in tried if m is not None), None)
        return replace(made[0], id=f"{record.id}~varied") if made is not None else None

    def exchange(self, record: Record) -> tuple[str, str, Record] | None:
        """A copied value, another one, and the record with it: always the same for a record."""
        rng = random.Random(record.id)
        found = self.copied(record)
        for value in rng.sample(found, len(found)):
            if (made := self._replaced(record, value, rng)) is not None:
                return value.text, made[1], made[0]
        return None

    def other(self, record: Record, rng: random.Random) -> Record | None:
        """Every copied value that can become another one; else every name; None where one must stay."""
        made = record
        for value in self.copied(record):
            if (step := self._replaced(made, value, rng)) is not None:
                made = step[0]
        if made is record:
            for value in self.told(record):
                able = (renamed(made, value.text, new) for new in self._others(made, value, rng))
                if (done := next((m for m in able if m is not None), None)) is None:
                    return None
                made = done
        return replace(made, id=f"{record.id}~other") if made is not record else None

    def copied(self, record: Record) -> list[TypedValue]:
        """The values that input and answer share and that can be told apart; no raw text has any."""
        key = (given(record), record.target)
        if key not in self.known:
            self.known[key] = self._copied(record)
        return self.known[key]

    def told(self, record: Record) -> list[TypedValue]:
        """Names of the answer that the input does not have; of a raw text, its names. Typed by all other words."""
        if read(record.target)[0] != "text":
            return []
        input = given(record) if answer(record) else ""
        made = []
        for sentence in re.split(r"(?<=[.!?])\s+|\n", record.target):
            bare = skeleton(sentence).strip(" .!?") == skeleton("A")  # nothing but a name
            found = [n for n, first in names(sentence) if bare or n in self.names or not first]
            for i, name in enumerate(dict.fromkeys(found)):
                if name not in input and alone(record.target, spots(record.target, name), name):
                    made.append(TypedValue(name, ("told", skeleton(input), skeleton(sentence), str(i))))
        return made

    def _copied(self, record: Record) -> list[TypedValue]:
        if not answer(record) or sum(s.role == "target" for s in record.segments) != 1:
            return []
        if any(s.ids is not None for s in record.segments):
            return []
        input, target = given(record), record.target
        form, values = read(target)
        if form == "text":
            return self._in_text(input, target)
        found = (self._in_form(input, target, form, values, text) for text in dict.fromkeys(v.text for v in values))
        return [value for value in found if value is not None]

    def _in_form(self, input: str, target: str, form: str, values: Seq[Value], text: str) -> TypedValue | None:
        """A value of a structured answer, where all its places there and in the input are of one type."""
        kinds = {v.kind for v in values if v.text == text}
        places = [v.start for v in values if v.text == text]
        at, kind = stated(input, text, form), next(iter(kinds))
        if len(kinds) > 1 or len(kind) < 2 or not at or text in self.everywhere or text in ("0", "1"):
            return None
        if not (alone(input, at, text) and alone(target, places, text)):
            return None
        if form == "sql":
            rivals = kind[-1] == "<" and sum(v.kind == kind for v in values) > 1
            return None if rivals or not spoken(input, at, text, kind) else TypedValue(text, (*kind, look_of(text)))
        look = shape(text, self.common)
        beside = {self._beside(input, i, text, look) for i in at}
        return TypedValue(text, (*kind, *beside.pop(), look)) if len(beside) == 1 and len(at) == len(places) else None

    def _beside(self, text: str, at: int, value: str, look: str) -> tuple[str, ...]:
        """What must be beside such a value.

        Of a name, the word before it where that is common; of a phrase that begins with a common word, the word after
        it too; of other words, the very word before them.
        """
        words = WORD.findall(text[:at].rsplit("\n", 1)[-1])
        begins = not words or (words[-1] in ".!?:" and len(words) > 1) or words == [":"]
        before = "^" if begins else words[-1].lower()
        if look == "X":
            return (before if before in self.common or not before[0].isalnum() else "*",)
        following = WORD.match(text[at + len(value) :].split("\n", 1)[0].lstrip(" "))
        after = following[0] if following else "$"
        if before == "^":
            return before, after.lower()
        kind = after.lower() if after.lower() in self.common else "*" if after[0].isalnum() else "$"
        if look.split()[0] in self.common:
            return before if before in self.common else "*", kind
        return before if words[-1].islower() else "X", kind

    def _in_text(self, input: str, target: str) -> list[TypedValue]:
        """Names and numbers that stand once in both texts."""
        made = []
        numbers = [m[0] for m in NUMBER.finditer(input)]
        computed = set(re.findall(r"\d+", target)) - set(re.findall(r"\d+", input))
        for text in dict.fromkeys([*(n for n, _ in names(input) if n in self.names), *([] if computed else numbers)]):
            if text not in target or text in self.everywhere:
                continue
            here, there = spots(input, text), spots(target, text)
            if len(here) != 1 or len(there) != 1:
                continue
            if alone(input, here, text) and alone(target, there, text):
                number = text[0].isdigit()
                kind = self._number(text, numbers, input, here[0]) if number else self._name(text, input, target)
                made += [TypedValue(text, kind)] if kind else []
        return made

    def _name(self, text: str, input: str, target: str) -> Kind | None:
        """Typed by the word before it on both sides: the same word of both, or no common word of either."""
        earlier, word = two_before(input, spots(input, text)[0])
        before, other = two_before(target, spots(target, text)[0])
        if not word or not other or ((word[0].isupper() or other[0].isupper()) and word != other):
            return None
        if earlier == before and earlier[:1].isupper() and word == other:
            return None  # a title that is not translated
        ours, theirs = self.inputs[word.lower()], self.answers[other.lower()]
        alike = word == other and max(ours, theirs) <= 3 * min(ours, theirs)
        return ("text", word, other, str(len(text.split()))) if alike or max(ours, theirs) < self.rare else None

    def _number(self, text: str, numbers: Seq[str], input: str, at: int) -> Kind | None:
        """Typed by its digits and the common word before it, where no other number of the input is like it."""
        look, before, after = digits(text), two_before(input, at)[1], one_after(input, at + len(text))
        if text == "1" or text[0] == "0" or sum(digits(n)[:4] == look[:4] for n in numbers) > 1:
            return None
        converted = re.match(r" \w+ \(", input[at + len(text) :])
        if look != "year" and (before[:1].isupper() or after[:1].isupper() or converted):
            return None
        return "text", "number", look, before if before in self.common else "*"

    def _others(self, record: Record, value: TypedValue, rng: random.Random) -> list[str]:
        """What could stand in a value's place, in random order: of its type, and not in the record yet."""
        here = _text(record).casefold()
        able = [d for d in self.donors.get(value.kind, ()) if d.casefold() not in here]
        return rng.sample(able, min(TRIES, len(able)))

    def _replaced(self, record: Record, value: TypedValue, rng: random.Random) -> tuple[Record, str] | None:
        """The record with a copied value replaced everywhere, where it then reads as it did."""
        tried = ((self._with(record, value, new), new) for new in self._others(record, value, rng))
        return next(((made, new) for made, new in tried if made is not None), None)

    def _with(self, record: Record, value: TypedValue, new: str) -> Record | None:
        old, target = value.text, record.target
        form, values = read(target)
        places = [v.start for v in values if v.text == old] if form != "text" else spots(target, old)
        segments = tuple(
            replace(s, text=splice(s.text, places if s.role == "target" else stated(s.text, old, form), old, new))
            for s in record.segments
        )
        made = replace(record, segments=segments)
        if given(made) != splice(given(record), stated(given(record), old, form), old, new):
            return None
        if clashing_articles(given(made)) != clashing_articles(given(record)):
            return None
        if TypedValue(new, value.kind) not in self._copied(made):
            return None
        if form != "text" and not agrees(target, made.target, [(old, new)]):
            return None
        if form == "sql" and self.database is not None and not runs(self.database, made.target):
            return None
        return made

    def _telling(self, record: Record, name: str) -> Record | None:
        """The most similar example that has the name and is not merely any text."""
        row = self.pool.rows.get(self.pool.key(record))
        places = [i for i in self.having.get(name, ()) if self.pool.records[i].id != record.id]
        if row is None or not places:
            return None
        scores = self.pool.space.scores([row], places)[0].tolist()
        best = max(range(len(places)), key=lambda i: (scores[i], -places[i]))
        return self.pool.records[places[best]] if scores[best] >= LOW else None


def renamed(record: Record, old: str, new: str) -> Record | None:
    """The record with a name replaced wherever it stands; None where a part of it would stay."""
    segments = []
    for s in record.segments:
        at = spots(s.text, old)
        if not alone(s.text, at, old):
            return None
        segments.append(replace(s, text=splice(s.text, at, old, new)))
    return replace(record, segments=tuple(segments))


def _text(record: Record) -> str:
    return "".join(s.text for s in record.segments)
