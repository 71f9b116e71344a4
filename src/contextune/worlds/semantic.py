"""Semantic structure (Lampinen et al. 2025, arXiv 2505.00661): a hierarchy of categories in nonsense words.

Four trees of the same shape. A category has features of its own, those of all that it is a kind of, and
does something to another category. A document tells of a circle: one category of each tree, all at the
same depth. Each fact is told from one side only, always in the same wording.

    recall      a trained fact as told                                                   learn
    rephrasing  a trained fact in its other wording                                      generalise
    reversal    a trained fact from its other side                                       generalise
    syllogism   what a category inherits, from one or more steps up                      generalise
    holdout     the same, and the reversal, where only a category's parent was told      generalise

Wrong options are hard: each stands in the asked relation to another category of the same circle, and
all four keep the same company, as a document tells of its circle as a whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.world import World

from . import language, listening, making, measures, resisting
from .articles import SHORTEST, documents
from .association import association
from .grammar import SIDES, Told, own_names
from .language import Fact
from .people import PeopleDraws

SIZES = {
    "paper": {
        "second": 3, "third": 8, "leaves": 16, "holdouts": 4, "features": 6, "documents": 2200, "sentences": 20,
        "probes": 100,
    },
    "small": {
        "second": 1, "third": 2, "leaves": 4, "holdouts": 1, "features": 2, "documents": 100, "sentences": 6,
        "probes": 40,
    },
}  # fmt: skip
TREES = 4
DEEDS = tuple(language.RELATIONS[v] for v in ("follow", "guard", "feed", "chase"))
"""One verb for each depth, so that what a category does never competes with what it inherits."""


@dataclass(eq=False, slots=True)
class Category:
    name: str
    parent: Category | None
    kind: list[Told] = field(default_factory=list)
    has: list[Told] = field(default_factory=list)
    does: list[Told] = field(default_factory=list)

    @property
    def above(self) -> list[Category]:
        """Its parent, that one's parent and so on."""
        return [self.parent, *self.parent.above] if self.parent else []

    @property
    def facts(self) -> list[Told]:
        return [*self.kind, *self.has, *self.does]


Circle = list[Category]


@registry.worlds("semantic")
def semantic(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train; oracle (every reversal).

    Sizes, each an option of its own: second, third, leaves (categories at depth 2, 3 and 4 of each of the
    four trees; the paper's size has 112 in all), holdouts (circles of leaves held out), features (of its
    own a category at most), documents, sentences (facts a document at most, 4 at least), probes (items of
    each listen, resist and retain task).
    """
    n = making.sizes("semantic", size, SIZES, **given)
    if n["holdouts"] >= n["leaves"]:
        raise UserError(
            f"world 'semantic': holdouts is {n['holdouts']}, expected less than leaves ({n['leaves']})",
            "lower holdouts",
        )
    if n["sentences"] < SHORTEST:
        raise UserError(
            f"world 'semantic': sentences is {n['sentences']}, expected at least {SHORTEST}", "raise sentences"
        )
    draws = partial(making.draws, "semantic", seed)
    levels = grow(draws("categories"), n)
    circles = [circle for level in levels for circle in level]
    if n["documents"] < 2 * len(circles):
        raise UserError(
            f"world 'semantic': documents is {n['documents']}, expected at least {2 * len(circles)}", "raise documents"
        )
    told = [t for circle in circles for c in circle for t in c.facts]
    members = [[c.facts for c in circle] for circle in circles]
    written = enumerate(documents(draws("documents"), members, n["documents"], n["sentences"]))
    records = {
        "train": tuple(making.text(f"doc-{i}", said, circle=j, style=style) for i, (j, style, said) in written),
        "oracle": tuple(making.text(f"reversed-{i}", t.reversed.sentence()) for i, t in enumerate(told)),
    }
    tasks = _tasks(draws, levels, n)
    known = association(map(making.said, records["train"]), tasks)
    facts = {"association": known, "sizes": n, "categories": TREES * len(circles), "told": len(told)}
    return World("semantic", records, tasks, "a hierarchy in nonsense words, told in documents", facts)


# ------------------------------------------------------------------------------------ structure


def grow(rng: random.Random, n: dict[str, int]) -> list[list[Circle]]:
    """Circles by depth, their facts told; the last `holdouts` circles of leaves know only their parents."""
    sizes = (1, n["second"], n["third"], n["leaves"])
    owned = [_few(rng, n["features"]) for _ in range(TREES * (sum(sizes) - n["holdouts"]))]
    names, counts = iter(own_names(rng, TREES * sum(sizes) + sum(owned), "semantic")), iter(owned)
    levels: list[list[Circle]] = []
    for depth, size in enumerate(sizes):
        trees = [[c[t] for c in levels[-1]] if levels else [] for t in range(TREES)]
        parents = [making.spread(rng, tree, size) if tree else [None] * size for tree in trees]
        levels.append([[Category(next(names), parents[t][j]) for t in range(TREES)] for j in range(size)])
        known = levels[-1][: size - n["holdouts"]] if depth == len(sizes) - 1 else levels[-1]
        _tell(rng, depth, levels[-1], known, names, counts)
    return levels


def _few(rng: random.Random, most: int) -> int:
    """1 to `most`, fewer more often."""
    return min(rng.randint(1, most), rng.randint(1, most))


def _tell(
    rng: random.Random,
    depth: int,
    level: list[Circle],
    known: list[Circle],
    names: Iterator[str],
    counts: Iterator[int],
) -> None:
    """Give the categories of a depth their facts; those of a circle do something to those of the next one."""

    def told(relation: str, a: str, b: str) -> Told:
        return Told(Fact(relation, a, b), rng.choice(SIDES), rng.randrange(2))

    for c in (c for circle in level for c in circle if c.parent):
        c.kind.append(told("kind", c.name, c.parent.name if c.parent else ""))
    for i, circle in enumerate(known):
        objects = making.shuffled(rng, known[(i + 1) % len(known)])
        for c, other in zip(circle, objects, strict=True):
            c.has += [told("has", c.name, next(names)) for _ in range(next(counts))]
            if len(known) > 1:
                c.does.append(told(DEEDS[depth].name, c.name, other.name))


# ---------------------------------------------------------------------------------------- tests


def ask(rng: random.Random, id: str, circle: Circle, facts: list[list[Told]], asked: Told) -> Item:
    """Four-way: `asked` is a way to tell the last fact of the first chain.

    `facts` has for each member, the asked one first, the trained facts that its answer follows from.
    """
    prompt, right = asked.cut()
    ends = [chain[-1].fact for chain in facts]
    forward = asked.side == "forward"
    wrong = [f" {fact.b if forward else c.name}." for c, fact in zip(circle[1:], ends[1:], strict=True)]
    evidence = [t.sentence() for t in facts[0]]
    lures = [t.sentence() for t in facts[1]]
    return making.choice(rng, id, prompt, right, wrong, asked.fact.key, evidence=evidence, lures=lures)


def _trained(rng: random.Random, circles: Iterable[Circle], way: str) -> list[Item]:
    """Each trained fact as told, rephrased or reversed, against those of the circle in the same relation."""
    items = list[Item]()
    for circle in circles:
        for c in circle:
            members = [c, *(other for other in circle if other is not c)]
            for told in c.facts:
                rows = [m.kind if told in c.kind else m.has if told in c.has else m.does for m in members]
                chains = [[told], *([rng.choice(row)] for row in rows[1:])]
                asked = {"recall": told, "rephrasing": told.rephrased, "reversal": told.reversed}[way]
                items.append(ask(rng, f"{way}-{len(items)}", members, chains, asked))
    return items


def _inherited(rng: random.Random, circles: Iterable[Circle], name: str) -> list[Item]:
    """For each category a feature, a deed and a kind from each step up where there is one."""
    items = list[Item]()
    for circle in circles:
        for c in circle:
            members = [c, *(other for other in circle if other is not c)]
            for steps in range(1, len(c.above) + 1):
                for part in ("kind", "has", "does"):
                    chains = [_chain(rng, m, steps, part) for m in members]
                    if not all(chains):
                        continue
                    last = chains[0][-1].fact
                    asked = Told(Fact(last.relation, c.name, last.b))
                    items.append(ask(rng, f"{name}-{len(items)}", members, chains, asked))
    return items


def _chain(rng: random.Random, c: Category, steps: int, part: str) -> list[Told]:
    """The kinds from a category up, then what the one above says of itself; empty where it says nothing."""
    top = c.above[steps - 1]
    kinds = [x.kind[0] for x in (c, *c.above[: steps - 1])]
    own = getattr(top, part)
    return [*kinds, rng.choice(own)] if own else []


def unique(levels: list[list[Circle]]) -> list[Told]:
    """Trained facts whose last side alone fits, as told: deeds; and what belongs to a leaf or is done by one."""
    deeds = [t for level in levels for circle in level for c in circle for t in c.does if t.side == "forward"]
    leaves = [c for circle in levels[-1] for c in circle]
    return deeds + [t for c in leaves for t in (*c.has, *c.does) if t.side == "backward"]


def _tasks(draws: PeopleDraws, levels: list[list[Circle]], n: dict[str, int]) -> dict[str, Task]:
    known = [circle for level in levels for circle in level if any(c.has for c in circle)]
    held = [circle for circle in levels[-1] if not any(c.has for c in circle)]
    probes, taken = n["probes"], {x for level in levels for ring in level for c in ring for x in _names(c)}

    def context(item: Item) -> str:
        """What the answer follows from, and the same for a wrong option."""
        sentences = dict.fromkeys((*item.fields["evidence"], *item.fields["lures"]))
        return " ".join(making.shuffled(draws("context", item.id), sentences))

    reversed_ = _trained(draws("reversal"), known, "reversal")
    reversal = making.choices("reversal", reversed_, "generalise", "a trained fact from its other side")
    inherited = _inherited(draws("syllogism"), known, "syllogism")
    syllogism = making.choices("syllogism", inherited, "generalise", "what a category inherits")
    held_out = [*_trained(draws("holdout"), held, "reversal"), *_inherited(draws("holdout", 2), held, "syllogism")]
    rephrased = _trained(draws("rephrasing"), known, "rephrasing")
    back = [t.reversed for t in unique_back(levels)]
    alone = unique(levels)
    return making.gather(
        making.choices("recall", _trained(draws("recall"), known, "recall"), "learn", "a trained fact, as told"),
        making.choices("rephrasing", rephrased, "generalise", "a trained fact in its other wording"),
        reversal,
        syllogism,
        making.choices("holdout", held_out, "generalise", "categories of which only the parent was told"),
        making.writing("recall_written", _written("recall", alone), "learn", "a trained fact, as told, generated"),
        making.writing("reversal_written", _written("back", back), "generalise", "the other side, generated"),
        making.preceded(reversal, "reversal_in_context", context, "task", "the other side, both facts in context"),
        making.preceded(syllogism, "syllogism_in_context", context, "task", "inherited, all steps in context"),
        *listening.forms(draws, alone, (language.KIND, *DEEDS), probes, 4, taken),
        *resisting.forms(draws, alone, (language.KIND, *DEEDS), probes, 4, taken),
        measures.retain(draws("retain"), probes, taken),
    )


def unique_back(levels: list[list[Circle]]) -> list[Told]:
    """Trained facts whose reversal has one answer: features and deeds of leaves told with the leaf first."""
    leaves = [c for circle in levels[-1] for c in circle]
    return [t for c in leaves for t in (*c.has, *c.does) if t.side == "forward"]


def _names(c: Category) -> set[str]:
    return {c.name, *(x for t in c.facts for x in (t.first, t.last))}


def _written(kind: str, told: Iterable[Told]) -> list[Item]:
    return [making.written(f"{kind}-{i}", *t.cut(), t.fact.key) for i, t in enumerate(told)]
