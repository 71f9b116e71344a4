"""Nonsense reversals (Lampinen et al. 2025, arXiv 2505.00661): comparisons of new things, told from one side only.

    taught    "did you know that Kalo is brighter than Mido."
    asked     "Mido is" -> " less bright than Kalo."   against   " brighter than Kalo."

Half of the facts are told from the other side ("Mido is less bright than Kalo."), so that no fixed
preference for one of the two forms helps. Association errs on every item: a thing keeps company with
the form that it was told in, which is the wrong one, so what is learned as mere company falls below chance.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from contextune.core import registry
from contextune.core.items import Item, Task
from contextune.core.sequence import Record
from contextune.core.world import World

from . import language, listening, making, measures, resisting
from .association import association
from .grammar import COMPARATIVES, OPENINGS, Told, own_names, tell

SIZES = {
    "paper": {"facts": 100, "preambles": 10, "probes": 100, "context": 4},
    "small": {"facts": 40, "preambles": 4, "probes": 40, "context": 4},
}
TAUGHT, HELD_OUT = OPENINGS[: -measures.HELD_OUT], OPENINGS[-measures.HELD_OUT :]


@registry.worlds("reversals")
def reversals(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train; statements (each fact once, bare); oracle (every reversal).

    Sizes, each an option of its own: facts; preambles (training texts a fact); probes (items of each listen,
    resist and retain task); context (facts that stand in the context where there is one).
    """
    n = making.sizes("reversals", size, SIZES, **given)
    told = draw_told(making.draws("reversals", seed, "facts"), n["facts"])
    records = {
        "train": tuple(_texts(making.draws("reversals", seed, "texts"), told, n["preambles"])),
        "statements": tuple(_record(f"fact-{i}", i, t) for i, t in enumerate(told)),
        "oracle": tuple(_record(f"reversed-{i}", i, t.reversed) for i, t in enumerate(told)),
    }
    tasks = _tasks(partial(making.draws, "reversals", seed), told, n)
    known = association(map(making.said, records["train"]), tasks)
    about = "comparisons of new things, told from one side and asked from the other"
    return World("reversals", records, tasks, about, {"association": known, "sizes": n})


def draw_told(rng: random.Random, n: int) -> list[Told]:
    """n facts over the comparisons, each about equally often; every other one told from its second side."""
    relations = making.spread(rng, COMPARATIVES, n)
    names = own_names(rng, 2 * n, "reversals")
    facts = [language.Fact(r.name, names[2 * i], names[2 * i + 1]) for i, r in enumerate(relations)]
    return [Told(f, "backward" if i % 2 else "forward") for i, f in enumerate(facts)]


def _texts(rng: random.Random, told: list[Told], preambles: int) -> list[Record]:
    made = [
        _record(f"fact-{i}-{j}", i, t, opening)
        for i, t in enumerate(told)
        for j, opening in enumerate(making.spread(rng, TAUGHT, preambles))
    ]
    return making.shuffled(rng, made)


def _record(id: str, number: int, told: Told, preamble: str = "") -> Record:
    fact = told.fact
    fields = {"fact": number, "relation": fact.relation, "a": fact.a, "b": fact.b, "side": told.side}
    return making.text(id, told.sentence(preamble), **fields)


def contrast(rng: random.Random, id: str, told: Told, preamble: str = "") -> Item:
    """Two-way: `told` against its contrary, which has the sides' ranks exchanged."""
    fact = told.fact
    contrary = Told(language.Fact(fact.relation, fact.b, fact.a), told.reversed.side)
    start = f"{told.first} is"
    right, wrong = (t.sentence().removeprefix(start) for t in (told, contrary))
    return making.choice(rng, id, f"{preamble} {start}".strip(), right, [wrong], fact.key)


def _tasks(draws: Callable[..., random.Random], told: list[Told], n: dict[str, int]) -> dict[str, Task]:
    taken = {name for t in told for name in (t.first, t.last)}
    pool, probes, k = COMPARATIVES, n["probes"], n["context"]
    context = partial(_context, draws, told, k)
    rng = draws("tests")
    reverse = making.choices(
        "reversal",
        [contrast(rng, f"reversal-{i}", t.reversed) for i, t in enumerate(told)],
        "generalise",
        "the correct reversal against the contradictory one",
    )
    wrote = making.writing(
        "reversal_written",
        [making.written(f"written-{i}", *t.reversed.cut(), t.fact.key) for i, t in enumerate(told)],
        "generalise",
        "the reversal, completed",
    )
    among = f"its fact among {k} in context"
    return making.gather(
        *_forward(draws("forward"), told),
        reverse,
        wrote,
        making.preceded(reverse, "reversal_in_context", context, "task", f"the reversal, {among}"),
        making.preceded(wrote, "reversal_written_in_context", context, "task", f"the reversal completed, {among}"),
        *listening.forms(draws, told, pool, probes, k, taken),
        *resisting.forms(draws, told, pool, probes, k, taken),
        measures.retain(draws("retain"), probes, taken),
    )


def _forward(rng: random.Random, told: list[Told]) -> tuple[Task, Task]:
    """As taught, after openings that no training text uses."""
    items = [contrast(rng, f"forward-{i}", t, rng.choice(HELD_OUT)) for i, t in enumerate(told)]
    recalled = [making.written(f"recall-{i}", *t.cut(rng.choice(HELD_OUT)), t.fact.key) for i, t in enumerate(told)]
    return (
        making.choices("forward", items, "learn", "as taught, after an opening never seen, against its contrary"),
        making.writing("forward_written", recalled, "learn", "as taught, after an opening never seen, completed"),
    )


def _context(draws: Callable[..., random.Random], told: list[Told], k: int, item: Item) -> str:
    """The item's fact among k - 1 others, in any order."""
    rng, number = draws("context", item.id), int(item.id.rpartition("-")[2])
    chosen = making.others(rng, range(len(told)), min(k, len(told)) - 1, [number])
    return tell(making.shuffled(rng, [told[i] for i in (number, *chosen)]))
