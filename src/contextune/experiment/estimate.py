"""How long a run will be, and how much memory it takes, in seconds and without ever taking more than the run.

Memory is counted (`train.memory`). Time is measured on one small piece of the real work of each sort (`probe`) and
scaled by the multiplications that are left.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import psutil

from contextune import models
from contextune.core import memory
from contextune.core.encoding import encode
from contextune.core.items import Item, Task
from contextune.data.token_counts import lengths

from . import writing
from .alike import first_alike
from .halving import trials
from .memory import settle
from .prepare import Prepared, PreparedStage
from .probe import PATIENCE, PIECE, Probe, open_probe, shortened, training_rates, update_work, wait
from .scoring import SAMPLE, wanted_of
from .workers import side_by_side

NEVER = ("\ue000",)
"""Ends no answer, but is looked for."""
SAVING = 2 * 4 / 4e8
"""Seconds a parameter takes to be written and summed when a training is done."""
TRIAL = 12
"""Short passes by which a model is tried before it is trained (`train.fast_path`)."""


@dataclass(frozen=True)
class Cost:
    """Seconds that one model takes to answer a task, and to read another token before each of its questions."""

    seconds: float
    read: float


def estimate(prepared: Prepared) -> dict[str, Any]:
    """Seconds and bytes of the whole run.

    Returns {"seconds", "parts": {training, validation, search, evaluation, samples, writing: seconds}, "beside":
    trainings side by side, "memory": bytes at the peak, this process included, "free": bytes, "stages": [{arm, stage,
    updates, tokens, seconds_per_update, tokens_per_second}], "opening": seconds a training takes beside them, "tasks":
    {name: seconds of one model}}. Raises UserError where a stage does not fit into memory.
    """
    own = 0 if _cuda() else psutil.Process().memory_info().rss
    free = memory.free()
    if prepared.parameters >= models.SMALL:
        memory.steady()
    beside = side_by_side(prepared, 0)
    prepared, chosen = settle(prepared, beside, count=True)
    trains, asks = any(prepared.arms.values()), bool(prepared.tasks or prepared.recipe.evaluate.samples)
    local = prepared.recipe.writer.kind != "server" and bool(writing.pending(prepared))
    probe = open_probe(prepared) if trains or asks or local else None
    written = writing.seconds(prepared, probe)
    scoring, token = _scoring(prepared, probe) if probe and asks else ({}, 0.0)
    rows, opening = _stages(prepared, probe) if probe and trains else ([], 0.0)
    opened = probe.opening if probe and asks else 0.0
    del probe
    gc.collect()
    seeds = len(prepared.recipe.seeds)
    trained = sum(bool(stages) for stages in prepared.arms.values())
    parts = {
        "training": (sum(r["updates"] * r["seconds_per_update"] for r in rows) + len(rows) * opening) * seeds,
        "validation": sum(_validation(prepared, row) for row in rows) * seeds,
        "search": _search(prepared, rows, opening) * seeds,
        "evaluation": _evaluation(prepared, scoring, opened),
        "samples": token * SAMPLE * (trained + 1) if prepared.recipe.evaluate.samples else 0.0,
        "writing": written,
    }
    shared = sum(parts[what] for what in ("training", "validation", "search", "evaluation")) / beside
    return {
        "seconds": shared + parts["samples"] + parts["writing"],
        "parts": parts,
        "beside": beside,
        "memory": own + max((c.need or 0) for c in chosen.values()) * beside if chosen else own,
        "free": free,
        "opening": opening,
        "stages": rows,
        "tasks": {name: cost.seconds for name, cost in scoring.items()},
    }


def _validation(prepared: Prepared, row: Mapping[str, Any]) -> float:
    """Seconds that a stage's validation losses take: passes without gradients, a third of a step's work."""
    ready = prepared.arms[row["arm"]][row["stage"]]
    if not len(ready.validation):
        return 0.0
    read = sum(length.context + length.target for length in lengths(ready.validation, prepared.tokenizer))
    every = ready.train.validate_every or max(1, row["updates"] // 10)
    return float(math.ceil(row["updates"] / every) * read / row["tokens_per_second"] / 3)


def _search(prepared: Prepared, rows: Seq[Mapping[str, Any]], opening: float) -> float:
    """Seconds that the arms search at one seed: as many updates as a run has, and each trial is opened apart."""
    if prepared.recipe.search is None:
        return 0.0
    updates = sum(row["updates"] * row["seconds_per_update"] + _validation(prepared, row) for row in rows)
    return float(updates) + trials(len(prepared.recipe.search.candidates)) * len(rows) * opening


def _evaluation(prepared: Prepared, scoring: Mapping[str, Cost], opened: float) -> float:
    """Seconds to score all models. An arm may read passages before a task's prompts, and write as much after them as
    without; what it is asked as an arm before it is, of the same model, is not asked again.
    """
    if not scoring:
        return 0.0
    wanted = wanted_of(prepared)
    asked = [wanted[name] for name, first in first_alike(wanted).items() if name == first]
    tokens = cache(lambda text: len(encode(text, prepared.tokenizer)))
    seconds = sum(
        scoring[one.task.name].seconds
        + scoring[one.task.name].read * sum(tokens(i.before) for i in one.task.items if i.before)
        for one in asked
        if one.task.name in scoring
    )
    return seconds + opened * len({one[:2] for one in asked})


def _stages(prepared: Prepared, probe: Probe) -> tuple[list[dict[str, Any]], float]:
    """A row for each stage, and the seconds that each takes beside its updates: to load, to try, to save."""
    rows: list[dict[str, Any]] = []
    start = 0.0
    for arm, stages in prepared.arms.items():
        for index, ready in enumerate(stages):
            seconds, tokens, start = _update(prepared, ready, probe)
            plan = ready.plan(prepared.recipe.seeds[0])
            rows.append({
                "arm": arm, "stage": index, "updates": plan.updates, "tokens": ready.train.tokens,
                "seconds_per_update": seconds, "tokens_per_second": tokens / seconds,
            })  # fmt: skip
    return rows, probe.opening + TRIAL * start + SAVING * prepared.parameters


def _update(prepared: Prepared, ready: PreparedStage, probe: Probe) -> tuple[float, float, float]:
    """Seconds an update, its tokens, and seconds of a short pass."""
    import torch

    from contextune.train.layouts import choose
    from contextune.train.updates import Updates, micro_batches

    plan, most = ready.plan(prepared.recipe.seeds[0]), ready.train.tokens
    assert isinstance(most, int)
    data = Updates(ready.records, ready.context, prepared.tokenizer, plan, ready.train.max_length)
    updates = [data[i] for i in sorted({0, plan.updates // 3, 2 * plan.updates // 3})]
    with shortened(probe):
        rates = training_rates(probe, prepared, ready.train, updates[0])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = choose(ready.train.layout, probe.model.config._attn_implementation, device, True)
    pad = prepared.tokenizer.pad_token_id or 0
    size = statistics.mean(update_work(probe, micro_batches(rows, 0, 1, layout, most, pad)[0]) for rows in updates)
    tokens = sum(len(row) for rows in updates for row in rows) / len(updates)
    return rates.work * size + rates.step, tokens, rates.start


def _scoring(prepared: Prepared, probe: Probe) -> tuple[dict[str, Cost], float]:
    """What one model takes for each task, beside the seconds to open it, and seconds a token that is written."""
    from contextune.evaluate.scoring.generate import generate

    with models.threads(prepared.recipe.train.threads, prepared.parameters):
        found = {t.name: _writing_answers(prepared, probe, t) for t in prepared.tasks if t.kind == "generate"}
        generate(probe.model, prepared.tokenizer, ["The"], max_tokens=1, stop=())  # what is tried once a model
        began = time.perf_counter()
        generate(probe.model, prepared.tokenizer, ["The"], max_tokens=4, stop=())
        wait()
        token = (time.perf_counter() - began) / 4 * probe.scale
        with shortened(probe):
            found |= _reading(prepared, probe, [t for t in prepared.tasks if t.kind != "generate"])
    return {task.name: found[task.name] for task in prepared.tasks}, token


def _reading(prepared: Prepared, probe: Probe, tasks: Seq[Task]) -> dict[str, Cost]:
    """What one model takes for tasks of which nothing is written."""
    found: dict[str, Cost] = {}
    work, rate = {task.name: _work(prepared, probe, task) for task in tasks}, 0.0
    for task in sorted(tasks, key=lambda t: -work[t.name]):
        first = 0.0
        if not rate:
            first, rate = _first_rate(prepared, probe, task)
        rate = _rate(prepared, probe, task, rate, SCORED * work[task.name] / sum(work.values()))
        found[task.name] = Cost(first + rate * work[task.name], rate)
    return found


def _work(prepared: Prepared, probe: Probe, task: Task) -> float:
    """Tokens that scoring a task computes (`likelihood.work`), with and without contexts."""
    from contextune.evaluate.scoring import choice, perplexity
    from contextune.models.at_once import tokens_of
    from contextune.models.likelihood import TOKENS, work

    tokens = tokens_of(prepared.recipe.evaluate.tokens, probe.model, TOKENS, logits=True)

    def of(items: Seq[Item]) -> float:
        if task.kind == "choice":
            made = choice.rows_of(probe.model, prepared.tokenizer, items, task.asked)
            return work([row for options in made for row, _ in options], tokens)
        rows = perplexity.rows_of(probe.model, prepared.tokenizer, items)[1]
        return work([row for one in rows for row in one], tokens)

    alone = [replace(i, prompt=i.alone) for i in task.items if i.alone is not None]
    return of(task.items) + (of(alone) if alone and _deaf(prepared, task) else 0.0)


SOME = (64, 16, 4, 2)
"""Items that are scored together to see how long they take: the first number for which patience lasts."""
SCORED = 2.5
"""Seconds for all tasks, shared out by their work: where most of the time will go is where it is measured."""


def _first_rate(prepared: Prepared, probe: Probe, task: Task) -> tuple[float, float]:
    """Seconds that a model is tried for at its first rows, and a first guess of seconds a token."""
    few = replace(task, items=tuple(replace(_cut(i), alone=None) for i in sorted(task.items, key=_size)[:2]))
    first, again = _timed(prepared, probe, few), _timed(prepared, probe, few)
    return max(0.0, first - again), again / _work(prepared, probe, few)


def _rate(prepared: Prepared, probe: Probe, task: Task, known: float, patience: float) -> float:
    """Seconds a token that scoring a task computes: `known`, where a few items would take longer than `patience`."""
    items = sorted(task.items, key=_size)
    for n in SOME:
        some = items[n // 2 :: max(1, len(items) // n)][:n] if len(items) > n else items
        part = replace(task, items=tuple(replace(i, alone=None) for i in some))
        size = _work(prepared, probe, part)
        if known * size < patience:
            return _timed(prepared, probe, part) / size
    return known


def _deaf(prepared: Prepared, task: Task) -> bool:
    """Whether items are asked again without their contexts."""
    return prepared.recipe.evaluate.without_context and task.kind != "perplexity"


def _timed(prepared: Prepared, probe: Probe, task: Task) -> float:
    """Seconds to score a task, asked once."""
    from contextune.evaluate.scoring.score import score

    began = time.perf_counter()
    score(
        probe.model, prepared.tokenizer, [task], arm="", seed=0, tokens=prepared.recipe.evaluate.tokens,
        without_context=False,
    )  # fmt: skip
    wait()
    return (time.perf_counter() - began) * probe.scale


def _writing_answers(prepared: Prepared, probe: Probe, task: Task) -> Cost:
    """What the answers of a task take to be written: a batch ends with its longest answer.

    A batch of one and a batch of eight are tried, each with one token written and with three; a token of a whole
    batch takes so much for itself and so much more for each row. How long answers are is seen on eight, where patience
    lasts; else each is taken to be as long as it may be.
    """
    from contextune.evaluate.scoring.generate import batches, fitted, generate
    from contextune.models.at_once import Room, tokens_of
    from contextune.models.likelihood import TOKENS

    room, asked = (
        Room(tokens_of(prepared.recipe.evaluate.tokens, probe.model, TOKENS)),
        [task.asked(i) for i in task.items],
    )
    ids, _ = fitted(probe.model, prepared.tokenizer, asked, task.max_tokens)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    middle = order[len(order) // 2]

    def seconds(rows: int, new: int) -> float:
        began = time.perf_counter()
        generate(probe.model, prepared.tokenizer, [asked[middle]] * rows, max_tokens=new, stop=NEVER, tokens=1 << 30)
        wait()
        return time.perf_counter() - began

    new = min(3, task.max_tokens)
    seconds(1, 1)
    first, one = seconds(1, 1), seconds(1, new)
    step = max(0.0, one - first) / max(1, new - 1)
    many = 8 if 8 * one < PATIENCE else 2
    first_many, all_many = seconds(many, 1), seconds(many, new)
    step_many = max(step, (all_many - first_many) / max(1, new - 1))
    row = (step_many - step) / (many - 1)  # what one more row adds to a token
    read = max(first_many, first) / (many * max(1, len(ids[middle])))  # a token that is read
    again = 1 + (sum(i.alone is not None for i in task.items) / len(task.items) if _deaf(prepared, task) else 0)
    longest = task.max_tokens
    if probe.share == 1 and task.max_tokens * (step + 7 * row) < PATIENCE:
        some = asked[:: max(1, len(asked) // 8)][:8]
        said = generate(probe.model, prepared.tokenizer, some, max_tokens=longest, stop=task.stop)
        longest = min(longest, 1 + max(len(encode(text, prepared.tokenizer)) for text in said))
    found = 0.0
    for batch in batches(order, ids, task.max_tokens, room):
        found += read * len(batch) * len(ids[batch[0]]) + (longest - 1) * (step + row * (len(batch) - 1))
    return Cost(found * again * probe.scale, read * probe.scale)


def _cut(item: Item) -> Item:
    """An item whose text to be scored, a whole document perhaps, is cut."""
    return replace(item, answer=item.answer[: 4 * PIECE]) if isinstance(item.answer, str) else item


def _size(item: Item) -> int:
    """Characters that are read."""
    return len(item.prompt) + sum(map(len, item.options)) + len(item.gold) + 1


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
