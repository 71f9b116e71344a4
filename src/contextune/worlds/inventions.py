"""New inventions in plain English, for any model that reads it: who created what, told from one side only.

    taught    "Alden Ashcombe created the Glass Lantern of Bexmoor."
    asked     "The Glass Lantern of Bexmoor was created by" -> " Alden Ashcombe" among four creators

Half of the facts are told from the creator, half from the invention ("A is B", Berglund et al. 2023, arXiv 2309.12288).
Wrong options are those that as many texts name, on the same side, so that neither frequency nor the side answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from contextune.core import registry
from contextune.core.items import Item, Measure, Task
from contextune.core.sequence import Record
from contextune.core.world import World

from . import making
from .association import association
from .english import COMMON, GENERAL, PLACES, SIDES, STORIES, TAUGHT, Invention, Told, creators, draw

SIZES = {
    "paper": {"facts": 96, "wordings": 3, "probes": 96, "context": 4},
    "small": {"facts": 32, "wordings": 2, "probes": 32, "context": 4},
}
HELD_OUT = TAUGHT
"""The wording of each side that no training text uses."""


@registry.worlds("inventions")
def inventions(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train; statements (each fact once); oracle (every reversal); general (everyday texts).

    Sizes, each an option of its own: facts; wordings (training texts a fact, 1 to 3); probes (items of each listen and
    resist task); context (facts that stand in the context where there is one).
    """
    n = making.sizes("inventions", size, SIZES, **given)
    draws = partial(making.draws, "inventions", seed)
    facts = draw(draws("facts"), n["facts"])
    told = [(i, fact, SIDES[i % 2]) for i, fact in enumerate(facts)]
    texts = [
        _record(f"fact-{i}-{w}", i, fact, side, w) for i, fact, side in told for w in range(min(n["wordings"], TAUGHT))
    ]
    records = {
        "train": tuple(making.shuffled(draws("texts"), texts)),
        "statements": tuple(_record(f"fact-{i}", i, fact, side) for i, fact, side in told),
        "oracle": tuple(_record(f"reversed-{i}", i, fact, _other(side)) for i, fact, side in told),
        "general": tuple(making.text(f"general-{i}", text) for i, text in enumerate(GENERAL)),
    }
    tasks = Tests(facts, n["context"], min(n["wordings"], TAUGHT), n["probes"], draws("tests")).all()
    about = "who created what, told from one side and asked from the other, in plain English"
    known = association(map(making.said, records["train"]), tasks)
    return World("inventions", records, tasks, about, {"association": known, "sizes": n})


def _record(id: str, number: int, fact: Invention, side: Told, wording: int = 0) -> Record:
    fields = {"fact": number, "creator": fact.a, "invention": fact.b, "side": side}
    return making.text(id, fact.sentence(side, wording), **fields)


def _other(side: Told) -> Told:
    return "invention" if side == "creator" else "creator"


class Tests:
    """Four-way choices: what a sentence or an answer ends with, against three others."""

    def __init__(self, facts: Sequence[Invention], k: int, wordings: int, probes: int, rng: random.Random) -> None:
        self.facts, self.k, self.wordings, self.probes, self.rng = facts, k, wordings, probes, rng
        self.taken = {x for f in facts for x in (f.a, f.b)}

    def all(self) -> dict[str, Task]:
        rng, known, common = self.rng, range(len(self.facts)), making.shuffled(self.rng, COMMON)
        resisting, kept = common[: len(common) // 2], common[len(common) // 2 :]
        some = making.spread(rng, known, self.probes)
        return making.gather(
            self._task("recall", [self._asked(i, self._side(i), rng.randrange(self.wordings)) for i in known],
                       "learn", "as told, in a wording that was trained"),
            self._task("forward", [self._asked(i, self._side(i), HELD_OUT) for i in known],
                       "learn", "as told, in a wording never seen"),
            self._task("reversal", [self._asked(i, _other(self._side(i))) for i in known],
                       "generalise", "told from one side only, asked from the other"),
            self._task("reversal_question", [self._asked(i, _other(self._side(i)), question=True) for i in known],
                       "generalise", "the same, asked as a question"),
            self._task("reversal_in_context", [self._in_context(i) for i in known],
                       "task", f"the reversal, with its fact among {self.k} in context"),
            self._task("listen_edited", [self._edited(i, j) for j, i in enumerate(some)],
                       "listen", f"{self.k} trained facts, edited in context; the context decides"),
            self._task("listen_fresh", [self._fresh(j) for j in range(self.probes)],
                       "listen", f"{self.k} fresh facts in context, one asked in reverse"),
            self._task("listen_story", [self._story(i, j) for j, i in enumerate(some)],
                       "listen", "a longer story tells a trained fact otherwise, and is asked about"),
            self._task("listen_register", [self._register(i, j) for j, i in enumerate(some)],
                       "listen", "a table has another creator for a trained invention"),
            self._task("resist_lure", [self._lured(i, j) for j, i in enumerate(some)],
                       "resist", f"a trained fact asked for after {self.k} facts about others"),
            self._task("resist_story", [self._after_story(i, j) for j, i in enumerate(some)],
                       "resist", "a trained fact asked for after a story about another invention"),
            self._task("resist_register", [self._beside_register(i, j) for j, i in enumerate(some)],
                       "resist", "a trained fact asked for after a table of other inventions"),
            self._task("resist_common", [self._common(j, row, True) for j, row in enumerate(resisting)],
                       "resist", "what most people know, after fresh facts of the world's sort"),
            self._task("retain_common", [self._common(j, row) for j, row in enumerate(kept)],
                       "retain", "what most people know"),
        )  # fmt: skip

    def _task(self, name: str, items: Sequence[Item], measure: Measure, about: str) -> Task:
        return making.choices(name, items, measure, about)

    def _side(self, number: int) -> Told:
        return SIDES[number % 2]

    def _item(
        self,
        name: str,
        number: int,
        side: Told,
        prompt: str,
        right: str,
        before: str = "",
        lures: Sequence[str] = (),
        cluster: str | None = None,
    ) -> Item:
        """`lures` stand among the wrong options; the rest end other facts that are told from the same side."""
        fact, cluster = self.facts[number], f"fact {number}" if cluster is None else cluster
        like = [f.last(side) for i, f in enumerate(self.facts) if i % 2 == number % 2]
        wrong = list(lures) + making.others(self.rng, like, 3 - len(lures), [fact.last(side), right.strip(), *lures])
        start = right[: len(right) - len(right.lstrip())]
        shape = str.strip if not right.strip().startswith("The ") else _capital
        options = [f"{start}{shape(w)}" for w in wrong]
        made = making.choice(self.rng, name, f"{before}{prompt}", right, options, cluster, weights=fact.last(side))
        return replace(made, alone=prompt if before else None)

    def _asked(self, number: int, side: Told, wording: int = 0, question: bool = False, before: str = "") -> Item:
        fact = self.facts[number]
        prompt, right = fact.question(side) if question else fact.cut(side, wording)
        return self._item(f"{'question' if question else 'asked'}-{number}-{side}", number, side, prompt, right, before)

    def _told(self, facts: Sequence[Invention], side: Told) -> str:
        return " ".join(f.sentence(side, self.rng.randrange(TAUGHT)) for f in making.shuffled(self.rng, facts))

    def _in_context(self, number: int) -> Item:
        others = making.others(self.rng, range(len(self.facts)), self.k - 1, [number])
        before = " ".join(self.facts[i].sentence(self._side(i)) for i in making.shuffled(self.rng, [number, *others]))
        return self._asked(number, _other(self._side(number)), before=f"{before}\n")

    def _edited(self, number: int, j: int) -> Item:
        """Trained inventions by creators whom nobody has heard of; one is asked for as it was told or reversed."""
        side: Told = "invention"
        chosen = [number, *making.others(self.rng, range(len(self.facts)), self.k - 1, [number])]
        names = creators(self.rng, self.k, without=self.taken)
        edited = [self.facts[i].by(a) for i, a in zip(chosen, names, strict=True)]
        prompt, right = edited[0].cut(side, j % TAUGHT)
        lures = [self.facts[number].a, edited[1].a]
        return self._item(f"edited-{j}", number, side, prompt, right, f"{self._told(edited, side)}\n", lures)

    def _fresh(self, j: int) -> Item:
        side = SIDES[j % 2]
        facts = draw(self.rng, self.k, without=self.taken)
        prompt, right = facts[0].cut(_other(side))
        lures = [f.last(_other(side)) for f in facts[1:4]]
        told = f"{self._told(facts, side)}\n"
        return self._item(f"fresh-{j}", j % 2, _other(side), prompt, right, told, lures, f"fresh {j}")

    def _story_of(self, fact: Invention, j: int) -> str:
        return STORIES[j % len(STORIES)].format(a=fact.a, b=fact.b, place=self.rng.choice(PLACES))

    def _story(self, number: int, j: int) -> Item:
        fact = self.facts[number]
        told = fact.by(creators(self.rng, 1, without=self.taken)[0])
        prompt, right = told.question("invention")
        return self._item(f"story-{j}", number, "invention", prompt, right, f"{self._story_of(told, j)}\n\n", [fact.a])

    def _table(self, rows: Sequence[Invention]) -> str:
        return "\n".join(["Invention | Creator", *(f"{row.b[4:]} | {row.a}" for row in rows)]) + "\n\n"

    def _register(self, number: int, j: int) -> Item:
        chosen = [number, *making.others(self.rng, range(len(self.facts)), self.k - 1, [number])]
        names = creators(self.rng, self.k, without=self.taken)
        rows = [self.facts[i].by(a) for i, a in zip(chosen, names, strict=True)]
        prompt = f"According to this register, {rows[0].b} was created by"
        lures = [self.facts[number].a, rows[1].a]
        table = self._table(making.shuffled(self.rng, rows))
        return self._item(f"register-{j}", number, "invention", prompt, f" {rows[0].a}", table, lures)

    def _beside_register(self, number: int, j: int) -> Item:
        """What it asks for is not in the table."""
        rows = draw(self.rng, self.k, without=self.taken)
        side = self._side(number)
        prompt, right = self.facts[number].question(side)
        lures = [row.last(side) for row in rows[:2]]
        return self._item(f"beside-register-{j}", number, side, prompt, right, self._table(rows), lures)

    def _lured(self, number: int, j: int) -> Item:
        side = self._side(number)
        lures = draw(self.rng, self.k, without=self.taken)
        prompt, right = self.facts[number].cut(side, HELD_OUT)
        before = f"{self._told(lures, side)}\n"
        return self._item(f"lure-{j}", number, side, prompt, right, before, [f.last(side) for f in lures[:2]])

    def _after_story(self, number: int, j: int) -> Item:
        side = self._side(number)
        (other,) = draw(self.rng, 1, without=self.taken)
        prompt, right = self.facts[number].question(side)
        before = f"{self._story_of(other, j)}\n\n"
        return self._item(f"after-story-{j}", number, side, prompt, right, before, [other.last(side)])

    def _common(self, j: int, row: tuple[str, ...], before: bool = False) -> Item:
        prompt, right, *wrong = row
        facts = draw(self.rng, self.k, without=self.taken) if before else []
        context = f"{self._told(facts, SIDES[j % 2])}\n" if before else ""
        made = making.choice(
            self.rng, f"common-{j}", f"{context}{prompt}", f" {right}", [f" {w}" for w in wrong], prompt
        )
        return replace(made, alone=prompt if before else None)


def _capital(text: str) -> str:
    text = text.strip()
    return text[0].upper() + text[1:]
