"""Slot alignment: a command's parts are listed in an order that the weights can learn or only an example shows.

    input: send Kalo to Mido for Rune output: [send Kalo, for Rune, to Mido].

Trained verbs follow two hidden rules: the verb's part stands first or last, and the other parts follow
one ranking of the markers. Held-out verbs have an order of their own for each item, which only an
example with the same template reveals. Similarity of two inputs is the share of words that they have in
common (`similarity`), exact and in [0, 1]: the same template with other values has 0.5.

    trained      trained templates, other values, nothing in context                       learn
    combined     trained verbs with pairs of markers never seen together with them         generalise
    listen_*     held-out verbs; trained ones whose example shows another order            listen
    resist_lure  an example with the same values and another template stands in context    resist
    low, medium, high   the same items after examples of which the nearest has that grade  task
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import permutations

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

SIZES = {
    "paper": {"templates": 60, "held_out": 30, "examples": 10, "values": 120, "probes": 100, "context": 4},
    "small": {"templates": 24, "held_out": 12, "examples": 8, "values": 120, "probes": 40, "context": 4},
}
VERBS, NEW_VERBS = language.COMMANDS[:12], language.COMMANDS[12:]
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
    that are never trained), examples (a template), values (names that these draw on), probes (items of each
    task), context (examples in context).
    """
    n = making.sizes("slots", size, SIZES, **given)
    draws = partial(making.draws, "slots", seed)
    trained, combined = rules(draws("rules"), n["templates"], n["held_out"])
    rng = draws("train")
    values = own_names(rng, n["values"], "slots")
    examples = [(t, rng.sample(values, 3)) for t in trained for _ in range(n["examples"])]
    train = tuple(_record(i, *e) for i, e in enumerate(making.shuffled(rng, examples)))
    tasks = _tasks(draws, trained, combined, examples, n)
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


def _orders(rng: random.Random, id: str, asked: SlotExample) -> Item:
    """Four-way: the right order against three others."""
    t, values = asked
    prompt, right = language.transform(t.command(values), t.frame(values))
    orders = making.others(rng, permutations(range(3)), 3, [t.order])
    wrong = [f" {CommandTemplate(t.verb, t.markers, order).frame(values)}." for order in orders]
    return making.choice(rng, id, prompt, right, wrong, _name(t), template=_name(t))


class SlotPool:
    """Draws what stands in the contexts of test items: names and examples that are not trained on."""

    def __init__(self, rng: random.Random, trained: list[CommandTemplate], examples: list[SlotExample]) -> None:
        self.rng, self.trained, self.examples = rng, trained, examples
        self.taken = {v for _, values in examples for v in values}

    def values(self, n: int = 3, without: Sequence[str] = ()) -> Values:
        return language.names(self.rng, n, without={*self.taken, *without})

    def low(self, asked: SlotExample, n: int) -> list[SlotExample]:
        """n trained examples each less than a third similar."""
        given, found = asked[0].command(asked[1]), list[SlotExample]()
        while len(found) < n:
            t, values = self.rng.choice(self.examples)
            if similarity(given, t.command(values)) < 1 / 3:
                found.append((t, values))
        return found

    def among(self, relevant: SlotExample, asked: SlotExample, n: int) -> list[SlotExample]:
        return making.shuffled(self.rng, [relevant, *self.low(asked, n - 1)])

    def near(self, asked: SlotExample, kept: int) -> SlotExample:
        """The same template with `kept` of the values."""
        t, values = asked
        fresh = self.values(3, values)
        same = set(self.rng.sample(range(3), kept))
        return t, [v if i in same else fresh[i] for i, v in enumerate(values)]


def _tasks(
    draws: PeopleDraws,
    trained: list[CommandTemplate],
    combined: list[CommandTemplate],
    examples: list[SlotExample],
    n: dict[str, int],
) -> dict[str, Task]:
    k, probes = n["context"], n["probes"]
    pool = SlotPool(draws("tests"), trained, examples)
    known = [(t, pool.values()) for t in making.spread(pool.rng, trained, probes)]
    new = [(t, pool.values()) for t in making.spread(pool.rng, combined, probes)]
    return making.gather(
        *_alone(pool, "trained", known, "learn", "trained templates, new values"),
        *_alone(pool, "combined", new, "generalise", "combinations of verb and markers never seen"),
        *_grades(pool, known, k),
        _fresh(pool, probes, k),
        _edited(pool, known, k),
        _lure(pool, known, k),
        measures.common(lambda: shown(pool.rng.sample(examples, k))),
        _document(SlotPool(draws("document"), trained, examples), known, k),
        _four_parts(SlotPool(draws("four"), trained, examples), probes, k),
        *_irrelevant(SlotPool(draws("irrelevant"), trained, examples), known, k),
        measures.retain(draws("retain"), probes, pool.taken),
    )


def _alone(pool: SlotPool, name: str, asked: list[SlotExample], measure: Measure, about: str) -> tuple[Task, Task]:
    """Nothing in context: written, and one order of four."""
    wrote = [_item(f"{name}-{i}", e) for i, e in enumerate(asked)]
    orders = [_orders(pool.rng, f"{name}-{i}", e) for i, e in enumerate(asked)]
    return (
        making.writing(name, wrote, measure, about, 40),
        making.choices(f"{name}_order", orders, measure, f"{about}, against other orders"),
    )


def _grades(pool: SlotPool, known: list[SlotExample], k: int) -> list[Task]:
    """Each item after k examples: none near, one with its template, one with its template and two of its values."""
    tasks = []
    for grade, kept in (("low", None), ("medium", 0), ("high", 2)):
        items = []
        for i, e in enumerate(known):
            context = pool.low(e, k) if kept is None else pool.among(pool.near(e, kept), e, k)
            items.append(_item(f"grade-{i}", e, context))
        tasks.append(making.writing(grade, items, "task", f"{k} examples in context, the nearest of grade {grade}", 40))
    return tasks


def _fresh(pool: SlotPool, n: int, k: int) -> Task:
    items = []
    for i in range(n):
        verb, markers = pool.rng.choice(NEW_VERBS), tuple(pool.rng.sample(language.MARKERS, 2))
        t = CommandTemplate(verb, markers, tuple(pool.rng.sample(range(3), 3)))
        asked = (t, pool.values())
        items.append(_item(f"fresh-{i}", asked, pool.among(pool.near(asked, 0), asked, k)))
    return measures.listening("fresh", items, "a verb never trained, its order shown by one example", 40)


def _edited(pool: SlotPool, known: list[SlotExample], k: int) -> Task:
    """`fields["weights"]` is the answer in the order that was trained."""
    items = []
    for i, (t, values) in enumerate(known):
        (order,) = making.others(pool.rng, permutations(range(3)), 1, [t.order])
        asked = (CommandTemplate(t.verb, t.markers, order), values)
        context = pool.among(pool.near(asked, 0), asked, k)
        items.append(_item(f"edited-{i}", asked, context, weights=t.frame(values)))
    return measures.listening("edited", items, "a trained template, shown once in another order", 40)


def _document(pool: SlotPool, known: list[SlotExample], k: int) -> Task:
    """As edited, the examples behind a long text."""
    items = []
    for i, (t, values) in enumerate(known):
        (order,) = making.others(pool.rng, permutations(range(3)), 1, [t.order])
        asked = (CommandTemplate(t.verb, t.markers, order), values)
        text = measures.prefaced(pool.rng, [shown([e]) for e in pool.among(pool.near(asked, 0), asked, k)])
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
