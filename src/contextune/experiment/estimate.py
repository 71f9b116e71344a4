"""How long a run will be, and how much memory it takes, in seconds and without ever taking more than the run.

Memory is counted (`train.memory`). Time is measured on one small piece of the real work of each sort (`probe`) and
scaled by the multiplications that are left.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Any

import psutil

from contextune import models
from contextune.core import memory
from contextune.core.items import Item, Task

from .memory import settle
from .prepare import Prepared, PreparedStage
from .probe import PATIENCE, PIECE, Probe, open_probe, training_rates, update_work, wait
from .scoring import SAMPLE, models_of
from .workers import side_by_side

SERVER = 2.0
"""Seconds a request of a server is taken to last."""
SAVING = 2 * 4 / 4e8
"""Seconds a parameter takes to be written and summed when a training is done."""
TRIAL = 12
"""Short passes by which a model is tried before it is trained (`train.fast_path`)."""


def estimate(prepared: Prepared) -> dict[str, Any]:
    """Seconds and bytes of the whole run.

    Returns {"seconds", "parts": {training, evaluation, samples, writing: seconds}, "beside": trainings side by side,
    "memory": bytes at the peak, this process included, "free": bytes, "stages": [{arm, stage, updates, tokens,
    seconds_per_update, tokens_per_second}], "tasks": {name: seconds of one model}}. Raises UserError where a stage
    does not fit into memory.
    """
    own = 0 if _cuda() else psutil.Process().memory_info().rss
    free = memory.free()
    if prepared.parameters >= models.SMALL:
        memory.steady()
    beside = side_by_side(prepared, 0)
    prepared, chosen = settle(prepared, beside, count=True)
    trains, asks = any(prepared.arms.values()), bool(prepared.tasks or prepared.recipe.evaluate.samples)
    probe = open_probe(prepared) if trains or asks else None
    scoring, token = _scoring(prepared, probe) if probe and asks else ({}, 0.0)
    rows, opening = _stages(prepared, probe) if probe and trains else ([], 0.0)
    opened = probe.opening if probe and asks else 0.0
    del probe
    gc.collect()
    seeds = len(prepared.recipe.seeds)
    trained = sum(bool(stages) for stages in prepared.arms.values())
    parts = {
        "training": (sum(r["updates"] * r["seconds_per_update"] for r in rows) + len(rows) * opening) * seeds,
        "evaluation": (sum(scoring.values()) + opened) * sum(1 for _ in models_of(prepared)),
        "samples": token * SAMPLE * (trained + 1) if prepared.recipe.evaluate.samples else 0.0,
        "writing": _writing(prepared, token),
    }
    shared = (parts["training"] + parts["evaluation"]) / beside
    return {
        "seconds": shared + parts["samples"] + parts["writing"],
        "parts": parts,
        "beside": beside,
        "memory": own + max((c.need or 0) for c in chosen.values()) * beside if chosen else own,
        "free": free,
        "stages": rows,
        "tasks": scoring,
    }


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
    from contextune.train.trainer import Updates, micro_batches

    plan, most = ready.plan(prepared.recipe.seeds[0]), ready.train.tokens
    assert isinstance(most, int)
    data = Updates(ready.records, ready.context, prepared.tokenizer, plan, ready.train.max_length)
    updates = [data[i] for i in sorted({0, plan.updates // 3, 2 * plan.updates // 3})]
    rates = training_rates(probe, prepared, ready.train, updates[0])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = choose(ready.train.layout, probe.model.config._attn_implementation, device, True)
    pad = prepared.tokenizer.pad_token_id or 0
    size = statistics.mean(update_work(probe, micro_batches(rows, 0, 1, layout, most, pad)[0]) for rows in updates)
    tokens = sum(len(row) for rows in updates for row in rows) / len(updates)
    return rates.work * size + rates.step, tokens, rates.start


def _scoring(prepared: Prepared, probe: Probe) -> tuple[dict[str, float], float]:
    """Seconds to score one model on each task, beside those to open it, and seconds a token that is written."""
    from contextune.evaluate.scoring.generate import generate

    found: dict[str, float] = {}
    rates: dict[str, float] = {}
    with models.threads(prepared.recipe.train.threads, prepared.parameters):
        for task in prepared.tasks:
            if task.kind == "generate":
                found[task.name] = _writing_answers(prepared, probe, task)
                continue
            tried = 0.0
            if task.kind not in rates:
                items = sorted(task.items, key=_size)
                first = _timed(prepared, probe, task, [_cut(items[0])])
                tried = first if not rates else 0.0  # at its first rows a model is tried
                rates[task.kind] = _rate(prepared, probe, task, items)
            times = 1 + sum(i.alone is not None for i in task.items) / len(task.items)
            found[task.name] = tried + rates[task.kind] * sum(map(_size, task.items)) * (
                times if _deaf(prepared, task) else 1
            )
        began = time.perf_counter()
        generate(probe.model, prepared.tokenizer, ["The"], max_tokens=4, stop=())
        wait()
        token = (time.perf_counter() - began) / 4 * probe.scale
    return found, token


SOME = (16, 8, 4, 2)
"""Items that are scored together to see how long they take: the first number for which patience lasts."""


def _rate(prepared: Prepared, probe: Probe, task: Task, items: Seq[Item]) -> float:
    """Seconds a character that is read, from items of all lengths."""
    one = _cut(items[0])
    rate = _timed(prepared, probe, task, [one]) / _size(one)
    for n in SOME:
        few = items[n // 2 :: max(1, len(items) // n)][:n] if len(items) > n else items
        if rate * sum(map(_size, few)) < PATIENCE:
            return _timed(prepared, probe, task, few) / sum(map(_size, few))
    return rate


def _deaf(prepared: Prepared, task: Task) -> bool:
    """Whether items are asked again without their contexts."""
    return prepared.recipe.evaluate.without_context and task.kind != "perplexity"


def _timed(prepared: Prepared, probe: Probe, task: Task, items: Seq[Item]) -> float:
    """Seconds to score some items of a task, asked once."""
    from contextune.evaluate.scoring.score import score

    part = replace(task, items=tuple(items))
    began = time.perf_counter()
    score(
        probe.model, prepared.tokenizer, [part], arm="", seed=0, tokens=prepared.recipe.evaluate.tokens,
        without_context=False,
    )  # fmt: skip
    wait()
    return (time.perf_counter() - began) * probe.scale


def _writing_answers(prepared: Prepared, probe: Probe, task: Task) -> float:
    """Seconds to write the answers of a task, each as long as it may be: a batch ends with its longest answer.

    A batch of one and a batch of eight are tried, each with one token written and with three; a token of a whole
    batch takes so much for itself and so much more for each row.
    """
    from contextune.evaluate.scoring.generate import batches, fitted, generate

    tokens, asked = prepared.recipe.evaluate.tokens, [task.asked(i) for i in task.items]
    ids, _ = fitted(probe.model, prepared.tokenizer, asked, task.max_tokens)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    middle = order[len(order) // 2]

    def seconds(rows: int, new: int) -> float:
        began = time.perf_counter()
        generate(probe.model, prepared.tokenizer, [asked[middle]] * rows, max_tokens=new, stop=(), tokens=1 << 30)
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
    found = 0.0
    for batch in batches(order, ids, task.max_tokens, tokens):
        found += read * len(batch) * len(ids[batch[0]]) + (task.max_tokens - 1) * (step + row * (len(batch) - 1))
    return found * again * probe.scale


def _cut(item: Item) -> Item:
    """An item whose text to be scored, a whole document perhaps, is cut."""
    return replace(item, answer=item.answer[: 4 * PIECE]) if isinstance(item.answer, str) else item


def _size(item: Item) -> int:
    """Characters that are read."""
    return len(item.prompt) + sum(map(len, item.options)) + len(item.gold) + 1


def _writing(prepared: Prepared, token: float) -> float:
    """What is still to be asked of the writer, as far as it can be counted: at most what it may write."""
    seconds, writer = 0.0, prepared.recipe.writer
    for ready in (r for stages in prepared.arms.values() for r in stages if r.augmented is not None):
        pending = ready.augmented.pending  # type: ignore[union-attr]
        if writer.kind == "server":
            seconds += pending["requests"] * SERVER / writer.concurrency
        else:
            seconds += pending["write"] * token / 8 + pending["read"] * token / 16  # in batches
    return seconds


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
