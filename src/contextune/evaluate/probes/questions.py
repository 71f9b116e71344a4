"""Probes: what a model in training takes from its weights, what from its context, and what it merely copies.

    in-weights   the task's metric with k random examples in context (`random`), and with none (`none`)
    in-context   counterfactual: one unit of the similar example's answer is replaced by a fresh one; credit for an
                 answer that has the fresh unit where the old one belongs and is right in the rest. The weights alone
                 give 0, blind copying fails in the rest. Beside it the plain difference `similar` - `random`, with
                 both its terms, since it also rises when the model fails with random contexts.
    fresh        in a world: a new task that one example shows; neither weights nor copying give it
    copy         with random contexts, how much nearer (chrF) the output is to a context's answer than the gold is;
                 the share of outputs that are such an answer, less that of the gold; and the share of lures copied,
                 where an example with nearly the same input has another answer

The paper gives no formulas (arXiv 2604.01601, figure 4); these are proposals (docs/probes.md). Rows hold what the model
said; every score is computed from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError, nearest
from contextune.core.items import Item, Task, Turns
from contextune.retrieval.space import HIGH, LOW

from ..metrics import sql, texts, trees
from ..scoring.grading import grade
from ..tasks import answer_edits as edits
from ..tasks.chat import AS_WRITTEN, Asking
from ..tasks.examples import Example, normal
from ..tasks.graded import Neighbourhood, PooledTask
from ..tasks.load import Pools, benches, load_task

NAMES = ("none", "random", "similar", "edited", "lure")
"""Probes that are made from a pool."""
ALL = (*NAMES, "fresh")
WORLDS = {
    world: {"none": alone, "random": "low", "similar": "high", "edited": "listen_edited", "lure": "resist_lure"}
    for world, alone in {"slots": "trained", "cipher": "composed"}.items()
}
WORLDS["slots"]["fresh"] = "listen_fresh"
"""Which of a world's own tasks is which probe: exact, by the world's grammar."""
SCANNED = 25
"""Items looked at for each one wanted."""
ProbeRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProbePrompt:
    """One prompt of a probe. `fresh` stands in the context in the place of `unit`; `item.answer` holds `unit`."""

    probe: str
    item: Item
    answers: tuple[str, ...] = ()
    """Those in the context, the edited one edited."""
    unit: str = ""
    fresh: str = ""
    lure: str = ""


@dataclass(frozen=True)
class Probes:
    """What is asked of a model again and again while it learns one task."""

    task: Task
    asks: tuple[ProbePrompt, ...]

    @property
    def prompts(self) -> list[str | Turns]:
        return [self.task.asked(ask.item) for ask in self.asks]

    @property
    def counts(self) -> dict[str, int]:
        return {name: n for name in ALL if (n := sum(a.probe == name for a in self.asks))}


def load(
    specs: Iterable[Any],
    base: Path,
    sources: Mapping[str, Any],
    items: int,
    tasks: Seq[str] = (),
    how: Asking = AS_WRITTEN,
    pools: Pools | None = None,
) -> list[Probes]:
    """The probes of tasks (as `evaluate.tasks` names them). UserError where none of them can be probed.

    `sources` are the recipe's, `items` is the number of items of each task, `tasks` names those that are wanted, `how`
    says how they are asked; `pools` are what evaluation has read of them.
    """
    specs = list(specs)

    def of(only: Seq[str]) -> dict[str, Probes]:
        made = (p for s in specs for p in _of_spec(s, base, sources, items, how, pools, only))
        return {p.task.name: p for p in made}

    found = of(tasks)
    for name in tasks:
        if name not in found:
            raise UserError(f"evaluate.callbacks.probes.tasks: '{name}' cannot be probed", nearest(name, of(())))
    if not found:
        raise UserError(
            "evaluate.callbacks.probes: no task can be probed",
            f"give a generating task a pool or graded contexts, or use a world: {', '.join(WORLDS)}",
        )
    return [p for name, p in found.items() if not tasks or name in tasks]


def _of_spec(
    spec: Any,
    base: Path,
    sources: Mapping[str, Any],
    n: int,
    how: Asking,
    pools: Pools | None = None,
    only: Seq[str] = (),
) -> list[Probes]:
    if isinstance(spec, Mapping) and "world" in spec:
        world = str(spec["world"])
        if world not in WORLDS:
            return []
        whole = {k: v for k, v in spec.items() if k not in ("tasks", "limit")}
        return [of_world(world, {t.name: t for t in load_task(whole, base, how=how)}, n)]
    found = benches(spec, base, None, sources, how, pools, only)
    return [of_bench(bench, n) for bench in found if bench.task.kind == "generate"]


# From a world's own tasks


def of_world(world: str, tasks: Mapping[str, Task], n: int) -> Probes:
    """The first n items of each task that stands for a probe; the answers in a context are read off its lines."""
    asks = []
    for probe, name in WORLDS[world].items():
        for item in tasks[name].items[:n]:
            *lines, _ = item.prompt.split("\n")
            answers = tuple(m[1].strip() for line in lines if (m := re.search(r"output:(.*?)\.?$", line)))
            asks.append(
                ProbePrompt(probe, item, answers, lure=str(item.fields.get("copy", "")) if probe == "lure" else "")
            )
    return Probes(replace(tasks[WORLDS[world]["random"]], name=world), tuple(asks))


# From any task of pairs with a pool


def of_bench(bench: PooledTask, n: int) -> Probes:
    """n items, those first for which all probes can be made. UserError where not even a random context can be had."""
    order = list(range(len(bench.task.items)))
    _rng(bench, "order").shuffle(order)
    whole, partial = list[list[ProbePrompt]](), list[list[ProbePrompt]]()
    for around in bench.neighbourhoods(order[: n * SCANNED]):
        made = _asks(bench, around)
        if made:
            (whole if len(made) == len(NAMES) else partial).append(made)
        if len(whole) == n:
            break
    chosen = (whole + sorted(partial, key=lambda asks: -len(asks)))[:n]
    if not chosen:
        raise UserError(
            f"task {bench.task.name}: probes: no item has {bench.options.k} random examples in the pool of "
            f"{len(bench.pool)}",
            "give a larger pool or a smaller graded.k",
        )
    return Probes(bench.task, tuple(ask for asks in chosen for ask in asks))


def _rng(bench: PooledTask, *key: object) -> Any:
    from contextune.core.sequence import DrawKey

    return DrawKey(bench.options.seed, 0).rng("probes", bench.task.name, *key)


def _asks(bench: PooledTask, around: Neighbourhood) -> list[ProbePrompt]:
    """The probes that can be made of one item; empty where there are too few random examples."""
    k, rng, item = bench.options.k, around.rng, around.item
    low = around.of("low")
    if len(low) < k:
        return []
    rest = [bench.pool[i] for i in rng.sample(low, k)]
    slot = rng.randrange(k)
    made = [_ask(bench, "none", item, ()), _ask(bench, "random", item, rest)]
    found = _counterfactual(bench, around, rest)
    if found is not None:
        similar, unit, fresh, others = found
        made.append(_ask(bench, "similar", item, _placed(similar, others, slot)))
        edited = similar.answering(edits.replaced(similar.answer, unit, fresh))
        made.append(replace(_ask(bench, "edited", item, _placed(edited, others, slot)), unit=unit, fresh=fresh))
    lure = _lure(bench, around)
    if lure is not None:
        made.append(replace(_ask(bench, "lure", item, _placed(lure, rest, slot)), lure=lure.answer))
    return made


def _ask(bench: PooledTask, probe: str, item: Item, context: Seq[Example]) -> ProbePrompt:
    asked = replace(item, prompt=bench.prompt(item, context))
    return ProbePrompt(probe, asked, tuple(e.answer for e in context))


def _placed(one: Example, others: Seq[Example], slot: int) -> list[Example]:
    return [one if i == slot else e for i, e in enumerate(others)]


def _counterfactual(
    bench: PooledTask, around: Neighbourhood, rest: list[Example]
) -> tuple[Example, str, str, list[Example]] | None:
    """The nearest similar example that shares a unit with the gold, the unit, a fresh one, and the other examples.

    Other examples that hold the unit would speak against the edit: they are exchanged where that is possible.
    """
    gold, rng = around.item.gold, around.rng
    for i in around.nearest(8):
        similar = bench.pool[i]
        if around.similar[i] < HIGH:
            return None
        unit = edits.shared_unit((similar.answer, gold), (similar.input, around.input), (e.answer for e in rest), rng)
        if unit is None:
            continue
        low = around.of("low")
        spare = [bench.pool[j] for j in rng.sample(low, min(len(low), 8 * len(rest)))]
        spare = [e for e in spare if not edits.holds(e.answer, unit) and e not in rest]
        others = [spare.pop() if edits.holds(e.answer, unit) and spare else e for e in rest]
        taken = {u.casefold() for text in (around.item.prompt, gold, *(e.text for e in (similar, *others)))
                 for u in edits.units(text)}  # fmt: skip
        return similar, unit, edits.fresh(unit, rng, taken), others
    return None


def _lure(bench: PooledTask, around: Neighbourhood) -> Example | None:
    """Nearly the item's own input with another answer: by rule where a unit stands on both sides, else the nearest."""
    rng, gold = around.rng, normal(around.item.gold)
    low = around.of("low")
    donors = [(bench.pool[i].input, bench.pool[i].answer) for i in rng.sample(low, min(20, len(low)))]
    made = edits.swapped(around.input, around.item.gold, donors, rng)
    if made is not None and around.input in around.prompt:
        before, _, after = around.prompt.rpartition(around.input)
        return Example(f"{around.item.id}~", made[0], before + made[0] + after, made[1], bench.pool[0].lead)
    able = [i for i in around.nearest(20) if around.similar[i] >= LOW and normal(bench.pool[i].answer) != gold]
    return bench.pool[able[0]] if able else None


# From outputs to rows, from rows to scores


def rows(probes: Probes, outputs: Seq[str]) -> list[ProbeRow]:
    """One row a prompt: what was said, and what it is worth."""
    undone = [
        edits.replaced(output, ask.fresh, ask.unit) if ask.fresh and not edits.holds(output, ask.unit) else output
        for ask, output in zip(probes.asks, outputs, strict=True)
    ]
    grades = grade(probes.task, [ask.item for ask in probes.asks], undone)
    return [
        _row(probes.task, ask, output, found.correct)
        for ask, output, found in zip(probes.asks, outputs, grades, strict=True)
    ]


def _row(task: Task, ask: ProbePrompt, output: str, worth: float) -> ProbeRow:
    if ask.fresh and not edits.holds(output, ask.fresh):
        worth = 0.0  # the old unit, or none: nothing was taken from the context
    row: ProbeRow = {"probe": ask.probe, "item": ask.item.id, "gold": ask.item.gold, "output": output, "score": worth}
    if ask.probe == "random":
        said, right = output.strip(), ask.item.gold
        known = {spelled(task, a) for a in ask.answers}
        row |= {
            "answers": list(ask.answers), "copied": spelled(task, said) in known,
            "gold_copied": spelled(task, right) in known,
            "near": round(texts.nearest(said, ask.answers), 6),
            "gold_near": round(texts.nearest(right, ask.answers), 6),
        }  # fmt: skip
    if ask.fresh:
        row |= {"unit": ask.unit, "fresh": ask.fresh}
    if ask.lure:
        row |= {"lure": ask.lure, "lured": spelled(task, output) == spelled(task, ask.lure)}
    return row


def spelled(task: Task, text: str) -> str:
    """One spelling for answers that are the same."""
    if task.metric.startswith("tree"):
        return str(trees.read(text) or text.strip())
    return sql.normal(text) if task.metric in ("execution", "sql_match") else normal(text)


def scores(found: Iterable[ProbeRow]) -> dict[str, float]:
    """The scores of one moment; those that nothing was asked for are absent."""
    known = list(found)
    by = {name: [r for r in known if r["probe"] == name] for name in ALL}
    made: dict[str, float] = {}
    for probe, name in (
        ("random", "in_weights"),
        ("none", "in_weights_alone"),
        ("edited", "in_context"),
        ("fresh", "fresh"),
    ):
        if by[probe]:
            made[name] = _mean(r["score"] for r in by[probe])
    both = {r["item"] for r in by["similar"]} & {r["item"] for r in by["random"]}
    if both:
        made["similar"], made["random"] = (
            _mean(r["score"] for r in by[probe] if r["item"] in both) for probe in ("similar", "random")
        )
        made["difference"] = made["similar"] - made["random"]
    if by["random"]:
        made["copy"] = _mean(max(0.0, r["near"] - r["gold_near"]) for r in by["random"])
        made["copied"] = _mean(r["copied"] - r["gold_copied"] for r in by["random"])
    if by["lure"]:
        made["lured"] = _mean(r["lured"] for r in by["lure"])
    return made


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
