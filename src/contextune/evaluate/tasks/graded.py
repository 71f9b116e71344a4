"""Accuracy by how near the nearest example is, in the paired design: every item gets one context of each grade.

    none     no context
    low      k random examples, all less than a third similar
    medium   one between a third and two thirds, k - 1 of the same random ones
    high     one of two thirds or more, k - 1 of the same random ones
    high_all the k most similar ones, of which at least one is of grade high

Binning retrieved contexts would confound how near an example is with how hard the item is; here grades differ in one
example at one place. An item is never in its own context, nor its duplicate, nor a paraphrase of either.
(The bins are those of arXiv 2604.01601, figure 3; the paired design is ours.)
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.sequence import DrawKey
from contextune.retrieval.space import HIGH, LOW

from . import answer_edits as edits
from . import query_similarity as near
from .examples import Example, bare, normal

if TYPE_CHECKING:
    from contextune.retrieval.space import Floats

    from .specs import Graded

NEAR = 0.9
"""From this similarity on an example with the same answer is a paraphrase (as in retrieval/guard.py)."""
GRADES = ("none", "low", "medium", "high", "high_all")


@dataclass(frozen=True)
class PooledTask:
    """A task's items, the examples that may precede them, and how alike they are."""

    task: Task
    """Without contexts."""
    pool: tuple[Example, ...]
    options: Graded
    lead: str = ""
    """What every prompt begins with; contexts come after it."""
    folder: Path | None = None
    """Where the path of an encoder begins."""

    def inputs(self) -> list[str]:
        """What of each item is compared."""
        prompts = bare([i.prompt.removeprefix(self.lead) for i in self.task.items])
        return [str(i.fields.get("input", p)) for i, p in zip(self.task.items, prompts, strict=True)]

    def neighbourhoods(self, items: Iterable[int] | None = None) -> Iterator[Neighbourhood]:
        """Of each item (or of those with these numbers)."""
        inputs = self.inputs()
        chosen = list(range(len(inputs)) if items is None else items)
        guard = ItemGuard(self.pool, self.options.same_answer)
        asked, known = [inputs[i] for i in chosen], [e.input for e in self.pool]
        for i, row in zip(chosen, near.rows(self.options.similarity, asked, known, self.folder), strict=True):
            item = self.task.items[i]
            row.scores[guard.barred(item, inputs[i], row.scores)] = -1.0
            bare_prompt = item.prompt.removeprefix(self.lead)
            yield Neighbourhood(item, bare_prompt, inputs[i], row, DrawKey(self.options.seed, 0).rng("graded", item.id))

    def prompt(self, item: Item, context: Seq[Example]) -> str:
        """The item's prompt after its context."""
        shown = "".join(e.text + self.options.separator for e in context)
        return self.lead + shown + item.prompt.removeprefix(self.lead)


class ItemGuard:
    """Who may not precede an item."""

    def __init__(self, pool: Seq[Example], same_answer: bool = True) -> None:
        self.pool, self.same_answer = pool, same_answer
        self.by_input: dict[str, list[int]] = {}
        self.kin: dict[str, list[int]] = {}
        self.by_answer: dict[str, list[int]] = {}
        for i, e in enumerate(pool):
            self.by_input.setdefault(normal(e.input), []).append(i)
            self.by_answer.setdefault(normal(e.answer), []).append(i)
            for name in {e.id, e.document, e.of} - {""}:
                self.kin.setdefault(name, []).append(i)

    def barred(self, item: Item, input: str, scores: Floats) -> list[int]:
        """Indices of the item's duplicates, of what shares a document with one, and of paraphrases of either.

        What is nearly the same and has the same answer counts as a paraphrase.
        """
        same = self.by_input.get(normal(input), [])
        names = {n for i in same for n in (self.pool[i].id, self.pool[i].document, self.pool[i].of)} - {""}
        paraphrases = [i for i in self.kin.get(item.id, ()) if self.pool[i].of == item.id]
        answered = self.by_answer.get(normal(item.gold), [])
        alike = [i for i in answered if not self.same_answer or scores[i] >= NEAR]
        return sorted({*same, *paraphrases, *alike, *(i for n in names for i in self.kin.get(n, ()))})


@dataclass(frozen=True)
class Neighbourhood:
    """How similar each example of the pool is to one item; -1 where it may not precede it."""

    item: Item
    prompt: str
    """The item's, without what all prompts begin with."""
    input: str
    row: near.SimilarityRow
    rng: random.Random

    @property
    def similar(self) -> Floats:
        return self.row.scores

    def of(self, grade: str) -> list[int]:
        """Indices of a grade's examples, in order."""
        low, high = {"low": (0.0, LOW), "medium": (LOW, HIGH), "high": (HIGH, math.inf)}[grade]
        return [int(i) for i in ((self.similar >= low) & (self.similar < high)).nonzero()[0]]

    def nearest(self, n: int) -> list[int]:
        """The n most similar, the most similar first; ties go to the earlier."""
        order = (-self.similar).argsort(kind="stable")[:n]
        return [int(i) for i in order if self.similar[i] >= 0]


@dataclass(frozen=True)
class ExampleDraw:
    """One context: examples in order, the similarity of the nearest, and the place of the one that was chosen."""

    examples: tuple[Example, ...] = ()
    similarity: float = 0.0
    slot: int | None = None
    made: bool = False
    """Whether the chosen example is a paraphrase by rule."""

    def fields(self, grade: str, gold: str) -> dict[str, Any]:
        answers = [e.answer for e in self.examples]
        return {
            "grade": grade, "similarity": round(self.similarity, 4), "examples": [e.id for e in self.examples],
            "slot": self.slot, "shows_gold": normal(gold) in map(normal, answers),
        } | ({"made": True} if self.made else {})  # fmt: skip


def draw(around: Neighbourhood, pool: Seq[Example], options: Graded) -> dict[str, ExampleDraw]:
    """A context of each grade that the item can have; grades that it cannot have are absent."""
    k, rng, found = options.k, around.rng, dict[str, ExampleDraw]()
    if "none" in options.grades:
        found["none"] = ExampleDraw()
    low = around.of("low")
    rest, slot = rng.sample(low, min(k, len(low))), rng.randrange(k)
    if len(rest) == k:
        found["low"] = ExampleDraw(tuple(pool[i] for i in rest), max(float(around.similar[i]) for i in rest))
    for grade in ("medium", "high"):
        able = around.of(grade)
        if len(rest) >= k - 1:
            one = rng.choice(able) if able else None
            if one is not None:
                found[grade] = _with(pool[one], float(around.similar[one]), [pool[i] for i in rest], slot, k)
            elif grade == "high" and options.paraphrase == "swap" and (made := _paraphrase(around, pool)):
                found[grade] = replace(_with(*made, [pool[i] for i in rest], slot, k), made=True)
    top = around.nearest(k)
    if len(top) == k and around.similar[top[0]] >= HIGH:
        found["high_all"] = ExampleDraw(tuple(pool[i] for i in rng.sample(top, k)), float(around.similar[top[0]]))
    return {grade: found[grade] for grade in options.grades if grade in found}


def _with(one: Example, similarity: float, rest: Seq[Example], slot: int, k: int) -> ExampleDraw:
    """`one` in its slot, the others around it as in the context of grade low."""
    others = [e for i, e in enumerate(rest) if i != slot or len(rest) < k]
    return ExampleDraw((*others[:slot], one, *others[slot:]), similarity, slot)


def _paraphrase(around: Neighbourhood, pool: Seq[Example]) -> tuple[Example, float] | None:
    """The item itself with one unit replaced on both sides, where that leaves it similar enough."""
    able = around.of("low") + around.of("medium")
    donors = [(pool[i].input, pool[i].answer) for i in around.rng.sample(able, min(20, len(able)))]
    made = edits.swapped(around.input, around.item.gold, donors, around.rng)
    if made is None:
        return None
    similarity, prompt = around.row.outside(made[0]), around.prompt
    if (
        similarity is None
        or similarity < HIGH
        or around.input not in prompt
        or normal(made[1]) == normal(around.item.gold)
    ):
        return None
    before, _, after = prompt.rpartition(around.input)
    return Example(f"{around.item.id}~", made[0], before + made[0] + after, made[1], pool[0].lead), similarity


@dataclass
class Lacking:
    """How many items had no example of a grade, and how many are left."""

    items: int = 0
    kept: int = 0
    of_grade: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        grades = ", ".join(f"{n} of grade {g}" for g, n in self.of_grade.items())
        return f"{self.kept} of {self.items} items have a context of each grade; lacking: {grades or 'none'}"


def expand(bench: PooledTask) -> list[Task]:
    """One task for each grade, named TASK.GRADE, over the same items in the same order.

    Items that lack a grade are left out of all grades (of that grade alone where `paired` is off) and counted in each
    task's `about`. UserError where a grade is left without items.
    """
    options, lacking = bench.options, Lacking()
    items: dict[str, list[Item]] = {grade: [] for grade in options.grades}
    for around in bench.neighbourhoods():
        drawn = draw(around, bench.pool, options)
        missing = [g for g in options.grades if g not in drawn]
        lacking.items += 1
        lacking.of_grade.update(missing)
        if missing and options.paired:
            continue
        lacking.kept += not missing
        for grade, one in drawn.items():
            items[grade].append(_item(bench, around, grade, one))
    for grade, made in items.items():
        if not made:
            which = min(lacking.of_grade, key=lambda g: -lacking.of_grade[g])
            raise UserError(
                f"task {bench.task.name}: graded: no item is left for grade {grade}: {lacking}",
                f"give a larger pool, or leave out the grade {which}"
                + (
                    ""
                    if which != "high" or options.paraphrase != "none" or bench.task.kind == "choice"
                    else ", or set paraphrase: swap"
                ),
            )
    about = f"{bench.task.about + '; ' if bench.task.about else ''}{options.k} examples, {lacking}"
    fields = {**bench.task.fields, "graded": str(lacking)}
    return [
        replace(
            bench.task,
            name=f"{bench.task.name}.{g}",
            items=tuple(items[g]),
            about=about,
            fields=fields,
            chance=_chance(bench.task, items[g]),
        )
        for g in options.grades
    ]


def _chance(task: Task, kept: Seq[Item]) -> float | None:
    """One over the options of the items that are left, where the task's own is that of all its items."""
    of = lambda items: sum(1 / len(i.options) for i in items) / len(items)  # noqa: E731
    return of(kept) if task.kind == "choice" and task.chance == of(task.items) else task.chance


def _item(bench: PooledTask, around: Neighbourhood, grade: str, drawn: ExampleDraw) -> Item:
    """`fields["asked"]` is the prompt without the context."""
    item = around.item
    fields = {**item.fields, **drawn.fields(grade, item.gold), "asked": item.prompt}
    return replace(
        item, prompt=bench.prompt(item, drawn.examples), fields=fields, alone=item.prompt, cluster=item.resampled_with
    )
