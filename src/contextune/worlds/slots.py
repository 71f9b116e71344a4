"""Slot alignment: a command's parts are listed in an order that the weights can learn or only an example shows.

    input: send Kalo to Mido for Rune output: [send Kalo, for Rune, to Mido].

Trained verbs follow two hidden rules: the verb's part stands first or last, and the other parts follow
one ranking of the markers. Held-out verbs have an order of their own for each item, which only an
example with the same template reveals. Similarity of two inputs is the share of words that they have in
common (`similarity`), exact and in [0, 1]: the same template with other values has 0.5.

With `orders: 3` the world is ambiguous. A template has three orders: the usual one, which follows the rules and holds
for three of five owners, and two others. The owner is the first value; a template has `groups` of them:

    input: send Kalo to Mido for Rune output: [send Kalo, for Rune, to Mido].    the usual order, Kalo's
    input: send Bako to Sede for Tolu output: [for Tolu, to Sede, send Bako].    another one, Bako's
    input: send Bako to Zaje for Hako output:                                    only the line above decides

Owners of test items are new: without an example the weights can say no more than the usual order.

    trained      trained templates, other values, nothing in context                       learn
    combined     trained verbs with pairs of markers never seen together with them         generalise
    listen_*     held-out verbs; trained ones whose example shows another order            listen
    resist_lure  an example with the same values and another template stands in context    resist
    low, medium, high   the same items after examples of which the nearest has that grade  task

Where there are several orders, the nearest example of `high` has the owner and an order other than the usual one: it
decides. That of `medium` has another owner and any of the orders: the usual one stays right. In the orders that
`listen_edited` shows, and in the wrong options of `trained_order`, the template is never trained.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, permutations
from typing import TypeVar

from contextune.core import registry
from contextune.core.items import Item, Measure, Task
from contextune.core.sequence import Record
from contextune.core.world import World

from . import language, making, measures
from .association import association
from .grammar import draw as draw_facts
from .grammar import own_names, tell
from .language import CommandTemplate
from .people import PeopleDraws

AMBIGUITY = {"orders": 1, "groups": 1}
MOST_ORDERS = 3
"""Of the six, half: the others are for tests."""
SIZES = {
    "paper": {"templates": 60, "held_out": 30, "examples": 10, "values": 120, "probes": 100, "context": 4} | AMBIGUITY,
    "small": {"templates": 24, "held_out": 12, "examples": 8, "values": 120, "probes": 40, "context": 4} | AMBIGUITY,
}
TRIES = 10_000
"""Draws until enough examples are found that are not similar."""
VERBS, NEW_VERBS = language.COMMANDS[:12], language.COMMANDS[12:]
T = TypeVar("T")
Values = list[str]
SlotExample = tuple[CommandTemplate, Values]


def similarity(x: str, y: str) -> float:
    """Words in common over words of the longer input, each as often as it stands in both."""
    a, b = Counter(x.split()), Counter(y.split())
    return (a & b).total() / max(a.total(), b.total())


@registry.worlds("slots")
def slots(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train, pairs whose fields hold input, output and template.

    Sizes, each an option of its own: templates (trained), held_out (combinations of trained verbs and markers
    that are never trained), orders (a template, 3 at most), groups (owners a template), examples (a group), values
    (names that these draw on), probes (items of each task), context (examples in context).
    """
    n = making.sizes("slots", size, SIZES, **given)
    _check(n)
    draws = partial(making.draws, "slots", seed)
    trained, combined = rules(draws("rules"), n["templates"], n["held_out"])
    rng = draws("train")
    values = own_names(rng, n["values"], "slots")
    ways = _ways(draws("orders"), trained, n["orders"])
    examples = [e for t in trained for e in _examples(rng, ways[t], values, n)]
    train = tuple(_record(i, *e) for i, e in enumerate(making.shuffled(rng, examples)))
    tasks = _tasks(draws, ways, combined, examples, n)
    known = association(map(making.said, train), tasks)
    about = "parts of a command, listed in an order that is learned or shown"
    return World("slots", {"train": train}, tasks, about, {"association": known, "sizes": n})


def rules(rng: random.Random, trained: int, held_out: int) -> tuple[list[CommandTemplate], list[CommandTemplate]]:
    """Templates that follow one set of hidden rules.

    A held-out one combines a trained verb and two markers that are trained together, but not with this verb.
    """
    last = set(rng.sample(VERBS, len(VERBS) // 2))
    rank = {m: i for i, m in enumerate(making.shuffled(rng, language.MARKERS))}
    pairs = list(permutations(language.MARKERS, 2))
    made, used = list[CommandTemplate](), set[tuple[str, frozenset[str]]]()
    for i, verb in enumerate([*making.spread(rng, VERBS, trained), *making.spread(rng, VERBS, held_out)]):
        if i == trained:
            seen = {frozenset(t.markers) for t in made}
            pairs = [p for p in pairs if frozenset(p) in seen]
        (pair,) = making.others(rng, pairs, 1, [p for p in pairs if (verb, frozenset(p)) in used])
        used.add((verb, frozenset(pair)))
        others = (1, 2) if rank[pair[0]] < rank[pair[1]] else (2, 1)
        made.append(CommandTemplate(verb, pair, (*others, 0) if verb in last else (0, *others)))
    return made[:trained], made[trained:]


def _check(n: dict[str, int]) -> None:
    """ValueError where the options of an ambiguous world do not go together."""
    orders, groups = n["orders"], n["groups"]
    if orders > MOST_ORDERS:
        raise ValueError(f"a template has {MOST_ORDERS} orders at most")
    if groups < (least := len(_shares(range(orders)))):
        raise ValueError(f"for {orders} orders a template needs {least} groups or more")
    if groups > 1 and n["values"] < (least := groups * (1 + 2 * n["examples"])):
        raise ValueError(f"the examples of a template need {least} values")


Ways = dict[CommandTemplate, list[CommandTemplate]]
"""By template, itself in each of its orders, the usual one first."""


def _ways(rng: random.Random, trained: list[CommandTemplate], orders: int) -> Ways:
    """The other orders of a template are drawn one by one: no rule gives them."""
    found: Ways = {}
    for t in trained:
        drawn = making.others(rng, permutations(range(3)), orders - 1, [t.order])
        found[t] = [t, *(replace(t, order=order) for order in drawn)]
    return found


def _shares(ways: Sequence[T]) -> list[T]:
    """One of each, but as many of the first, the usual one, as there are: three of five."""
    return [ways[0]] * len(ways) + list(ways[1:])


def _examples(rng: random.Random, ways: list[CommandTemplate], values: Values, n: dict[str, int]) -> list[SlotExample]:
    """Of one template. Examples of a group share their first value, and otherwise no two share any."""
    if n["groups"] == 1:
        return [(ways[0], rng.sample(values, 3)) for _ in range(n["examples"])]
    free = iter(rng.sample(values, n["groups"] * (1 + 2 * n["examples"])))
    made = list[SlotExample]()
    for way in making.spread(rng, _shares(ways), n["groups"]):
        owner = next(free)
        made += [(way, [owner, next(free), next(free)]) for _ in range(n["examples"])]
    return made


def _record(number: int, t: CommandTemplate, values: Values) -> Record:
    given = t.command(values)
    return making.pair(f"pair-{number}", *language.transform(given, t.frame(values)), input=given, template=_name(t))


def _name(t: CommandTemplate) -> str:
    return " ".join((t.verb, *t.markers))


def shown(examples: Sequence[SlotExample]) -> str:
    """Solved examples as they stand in a context."""
    return "\n".join("".join(language.transform(t.command(v), t.frame(v))) for t, v in examples)


def _item(id: str, asked: SlotExample, context: Sequence[SlotExample] = (), before: str = "", **fields: object) -> Item:
    """`before` precedes it, else `context`; `fields` hold the exact similarity of the nearest example of this."""
    t, values = asked
    prompt, answer = language.transform(t.command(values), t.frame(values))
    nearest = max((similarity(t.command(values), u.command(v)) for u, v in context), default=0.0)
    before = before or shown(context)
    text = f"{before}\n{prompt}" if before else prompt
    return making.written(id, text, answer, _name(t), template=_name(t), similarity=round(nearest, 4), **fields)


def _orders(rng: random.Random, id: str, asked: SlotExample, ways: Sequence[CommandTemplate]) -> Item:
    """Four-way: the right order against three others, none of them in `ways`."""
    t, values = asked
    prompt, right = language.transform(t.command(values), t.frame(values))
    orders = making.others(rng, permutations(range(3)), 3, [w.order for w in ways])
    wrong = [f" {CommandTemplate(t.verb, t.markers, order).frame(values)}." for order in orders]
    return making.choice(rng, id, prompt, right, wrong, _name(t), template=_name(t))


class SlotPool:
    """Draws what stands in the contexts of test items: trained templates with values that are not trained on."""

    def __init__(self, rng: random.Random, ways: Ways, examples: list[SlotExample], grouped: bool) -> None:
        self.rng, self.ways, self.trained = rng, ways, list(ways)
        self.owned = 1 if grouped else 0
        """Values, the first ones, that examples of a group share."""
        self.taken = {v for _, values in examples for v in values}

    def values(self, n: int = 3, without: Sequence[str] = ()) -> Values:
        return language.names(self.rng, n, without={*self.taken, *without})

    def any(self) -> SlotExample:
        """A trained template in one of its orders, each as often as in training, with new values."""
        return self.rng.choice(_shares(self.ways[self.rng.choice(self.trained)])), self.values()

    def low(self, asked: SlotExample, n: int) -> list[SlotExample]:
        """n examples each less than a third similar. ValueError where no template is so."""
        given = asked[0].command(asked[1])
        drawn = (self.any() for _ in range(TRIES))
        found = list(islice((e for e in drawn if similarity(given, e[0].command(e[1])) < 1 / 3), n))
        if len(found) < n:
            raise ValueError("too few templates that are unlike each other")
        return found

    def among(self, relevant: SlotExample, asked: SlotExample, n: int) -> list[SlotExample]:
        return making.shuffled(self.rng, [relevant, *self.low(asked, n - 1)])

    def near(self, asked: SlotExample, kept: int) -> SlotExample:
        """The same template with `kept` of the values; one that is kept is the owner."""
        t, values = asked
        fresh = self.values(3, values)
        owner = list(range(min(kept, self.owned)))
        same = {*owner, *self.rng.sample(range(len(owner), 3), kept - len(owner))}
        return t, [v if i in same else fresh[i] for i, v in enumerate(values)]


def _tasks(
    draws: PeopleDraws,
    ways: Ways,
    combined: list[CommandTemplate],
    examples: list[SlotExample],
    n: dict[str, int],
) -> dict[str, Task]:
    k, probes = n["context"], n["probes"]

    def another(name: str) -> SlotPool:
        """Draws of its own, so that a task more moves no other."""
        return SlotPool(draws(name), ways, examples, n["groups"] > 1)

    pool = another("tests")
    known = [(t, pool.values()) for t in making.spread(pool.rng, pool.trained, probes)]
    new = [(t, pool.values()) for t in making.spread(pool.rng, combined, probes)]
    return making.gather(
        *_alone(pool, "trained", known, "learn", "trained templates, new values"),
        *_alone(pool, "combined", new, "generalise", "combinations of verb and markers never seen"),
        *_grades(pool, known, k),
        _fresh(pool, probes, k),
        _edited(pool, known, k),
        _lure(pool, known, k),
        measures.common(lambda: shown([pool.any() for _ in range(k)])),
        _document(another("document"), known, k),
        _four_parts(another("four"), probes, k),
        *_irrelevant(another("irrelevant"), known, k),
        measures.retain(draws("retain"), probes, pool.taken),
    )


def _alone(pool: SlotPool, name: str, asked: list[SlotExample], measure: Measure, about: str) -> tuple[Task, Task]:
    """Nothing in context: written, and one order of four."""
    wrote = [_item(f"{name}-{i}", e) for i, e in enumerate(asked)]
    orders = [_orders(pool.rng, f"{name}-{i}", e, pool.ways.get(e[0], [e[0]])) for i, e in enumerate(asked)]
    return (
        making.writing(name, wrote, measure, about, 40),
        making.choices(f"{name}_order", orders, measure, f"{about}, against other orders"),
    )


def _grades(pool: SlotPool, known: list[SlotExample], k: int) -> list[Task]:
    """Each item after k examples: none near, one with its template, one with its template and two of its values."""
    low, medium, high = list[Item](), list[Item](), list[Item]()
    for i, (t, values) in enumerate(known):
        id, ways = f"grade-{i}", pool.ways[t]
        asked = (t, values)
        told = (pool.rng.choice(ways[1:] or ways), values)
        other = (pool.rng.choice(_shares(ways)), values)
        low.append(_item(id, asked, pool.low(asked, k)))
        medium.append(_item(id, asked, pool.among(pool.near(other, 0), asked, k)))
        high.append(_item(id, told, pool.among(pool.near(told, 2), told, k)))
    about = f"{k} examples in context, the nearest of grade"
    graded = {"low": low, "medium": medium, "high": high}
    return [making.writing(grade, items, "task", f"{about} {grade}", 40) for grade, items in graded.items()]


def _fresh(pool: SlotPool, n: int, k: int) -> Task:
    items = []
    for i in range(n):
        verb, markers = pool.rng.choice(NEW_VERBS), tuple(pool.rng.sample(language.MARKERS, 2))
        t = CommandTemplate(verb, markers, tuple(pool.rng.sample(range(3), 3)))
        asked = (t, pool.values())
        items.append(_item(f"fresh-{i}", asked, pool.among(pool.near(asked, pool.owned), asked, k)))
    return measures.listening("fresh", items, "a verb never trained, its order shown by one example", 40)


def _edited(pool: SlotPool, known: list[SlotExample], k: int) -> Task:
    """`fields["weights"]` is the answer in the order that was trained, of several the usual one."""
    items = []
    for i, (t, values) in enumerate(known):
        (order,) = making.others(pool.rng, permutations(range(3)), 1, [w.order for w in pool.ways[t]])
        asked = (replace(t, order=order), values)
        context = pool.among(pool.near(asked, pool.owned), asked, k)
        items.append(_item(f"edited-{i}", asked, context, weights=t.frame(values)))
    return measures.listening("edited", items, "a trained template, shown once in another order", 40)


def _document(pool: SlotPool, known: list[SlotExample], k: int) -> Task:
    """As edited, the examples behind a long text."""
    items = []
    for i, (t, values) in enumerate(known):
        (order,) = making.others(pool.rng, permutations(range(3)), 1, [w.order for w in pool.ways[t]])
        asked = (replace(t, order=order), values)
        text = measures.prefaced(pool.rng, [shown([e]) for e in pool.among(pool.near(asked, pool.owned), asked, k)])
        items.append(_item(f"document-{i}", asked, before=text, weights=t.frame(values)))
    return measures.listening("document", items, "a trained template, shown in another order behind a long text", 40)


def _four_parts(pool: SlotPool, n: int, k: int) -> Task:
    """Commands longer than any that is trained."""
    items = []
    for i in range(n):
        t = language.template(pool.rng, 4, pool.rng.choice(NEW_VERBS))
        asked, shown_ = (t, pool.values(4)), (t, pool.values(4))
        items.append(_item(f"four-{i}", asked, pool.among(shown_, asked, k)))
    return measures.listening("four", items, "a command of four parts, its order shown by one example", 48)


def _irrelevant(pool: SlotPool, known: list[SlotExample], k: int) -> list[Task]:
    """Facts, or examples of other templates behind a long text, precede a trained template."""
    facts, stories = [], []
    for i, e in enumerate(known):
        told = tell(draw_facts(pool.rng, language.VERBS, k, {*pool.taken, *e[1]}))
        facts.append(_item(f"facts-{i}", e, before=told))
        text = measures.prefaced(pool.rng, [shown([other]) for other in pool.low(e, k)])
        stories.append(_item(f"story-{i}", e, before=text))
    return [
        measures.resisting("facts", facts, f"{k} facts, which are no commands", 40, taught=False),
        measures.resisting("story", stories, f"{k} examples of other templates in a long text", 40, taught=False),
    ]


def _lure(pool: SlotPool, known: list[SlotExample], k: int) -> Task:
    """`fields["copy"]` is the label of the example that shares the values but not the template."""
    items = []
    for i, (t, values) in enumerate(known):
        (other,) = making.others(pool.rng, pool.trained, 1, [u for u in pool.trained if u.verb == t.verb])
        lure = (other, list(values))
        items.append(_item(f"lure-{i}", (t, values), pool.among(lure, (t, values), k), copy=other.frame(values)))
    return measures.resisting("lure", items, "an example with the same values and another template", 40, taught=False)
