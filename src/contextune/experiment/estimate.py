"""How long a run will be, and how much memory it takes, in seconds and without ever taking more than the run.

Memory is counted (`train.memory`). Time is measured on pieces of the real work, as large as a few seconds allow, and
scaled by the tokens that are left.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from contextune import models
from contextune.core import memory
from contextune.core.items import Item, Task
from contextune.core.sequence import Rendered

from .memory import settle
from .prepare import Prepared, PreparedStage
from .scoring import SAMPLE, models_of, open_for_scoring
from .workers import side_by_side

PIECE = 256
"""Tokens of the first piece that is measured."""
PATIENCE = 4.0
"""Seconds for one measurement, and for all trainings after the first about five times that."""
SERVER = 2.0
"""Seconds a request of a server is taken to last."""


def estimate(prepared: Prepared) -> dict[str, Any]:
    """Seconds and bytes of the whole run.

    Returns {"seconds", "parts": {training, evaluation, samples, writing: seconds}, "beside": trainings side by side,
    "memory": bytes at the peak, this process included, "free": bytes, "stages": [{arm, stage, updates, tokens,
    seconds_per_update, tokens_per_second}]}. Raises UserError where a stage does not fit into memory.
    """
    own = 0 if _cuda() else psutil.Process().memory_info().rss
    free = memory.free()
    if prepared.parameters >= models.SMALL:
        memory.steady()
    beside = side_by_side(prepared, 0)
    prepared, chosen = settle(prepared, beside, count=True)
    gate = _Gate(time.monotonic() + 5 * PATIENCE)
    rows = _stages(prepared, gate)
    scoring, token = _scoring(prepared)
    seeds = len(prepared.recipe.seeds)
    trained = sum(bool(stages) for stages in prepared.arms.values())
    parts = {
        "training": (sum(r["updates"] * r["seconds_per_update"] for r in rows) + len(rows) * gate.opening) * seeds,
        "evaluation": scoring * sum(1 for _ in models_of(prepared)),
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
    }


@dataclass
class _Gate:
    """When to stop measuring, and what is known by then."""

    until: float
    opening: float = 0.0
    """Seconds to load a model and to write it."""


def _stages(prepared: Prepared, gate: _Gate) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    rates: dict[str, tuple[float, float]] = {}
    measured: dict[str, float] = {}
    for arm, stages in prepared.arms.items():
        for index, ready in enumerate(stages):
            how = f"{ready.train.model_dump(exclude={'steps', 'epochs', 'lr', 'save'})}"
            key = f"{ready.stage.data} {ready.stage.context.full()} {how}"
            if key not in measured:
                known = rates.get(how) if time.monotonic() > gate.until else None
                measured[key], rates[how], tokens = _update(prepared, ready, gate, known)
            plan = ready.plan(prepared.recipe.seeds[0])
            rows.append({
                "arm": arm, "stage": index, "updates": plan.updates, "tokens": ready.train.tokens,
                "seconds_per_update": measured[key], "tokens_per_second": tokens / measured[key],
            })  # fmt: skip
    return rows


def _update(
    prepared: Prepared, ready: PreparedStage, gate: _Gate, known: tuple[float, float] | None
) -> tuple[float, tuple[float, float], float]:
    """(seconds an update, (seconds a unit of work, seconds of the optimizer), tokens an update).

    With `known`, those two of a stage that trains alike, nothing is measured.
    """
    from contextune.train import stage
    from contextune.train.layouts import PADDED, Batch, _pad
    from contextune.train.trainer import Updates, micro_batches

    plan = ready.plan(prepared.recipe.seeds[0])
    data = Updates(ready.records, ready.context, prepared.tokenizer, plan, ready.train.max_length)
    pad = prepared.tokenizer.pad_token_id or 0
    most = ready.train.tokens
    assert isinstance(most, int)
    chosen = sorted({0, plan.updates // 3, 2 * plan.updates // 3})
    updates = [data[i] for i in chosen]
    tokens = sum(len(row) for rows in updates for row in rows) / len(updates)
    attention = _attention(prepared)

    def work(batches: Seq[Batch]) -> float:
        return sum(b.input_ids.numel() * (1 + attention * b.input_ids.shape[1]) for b in batches)

    if known is not None:
        size = statistics.mean(work(PADDED(rows, most, pad)) for rows in updates)
        return known[0] * size + known[1], known, tokens
    with tempfile.TemporaryDirectory() as folder:
        train = ready.train.model_copy(update={"save": 0})
        began = time.perf_counter()
        job = stage.TrainJob(
            ready.records, ready.context, prepared.tokenizer, train, 0, prepared.model, Path(folder),
            prepared.recipe.model,
        )  # fmt: skip
        model = stage.open_model(job)
        gate.opening = 2 * (time.perf_counter() - began)
        with models.threads(train.threads, model.num_parameters()):
            trainer = stage.build(job, model, lambda done, total, loss: None)
            cut = [micro_batches(rows, 0, 1, trainer.layout, most, pad)[0] for rows in updates]
            size = statistics.mean(map(work, cut))
            piece = [_pad([_short(max(updates[0], key=len))], pad)]
            go = _passes(trainer)
            go(piece)
            rate = go(piece) / work(piece)
            largest = max((b for batches in cut for b in batches), key=lambda b: b.input_ids.numel())
            if rate * size < PATIENCE / 4:  # whole updates
                go(cut[0])
                rate = statistics.median(go(batches) / work(batches) for batches in cut)
            elif rate * work([largest]) < PATIENCE:
                rate = go([largest]) / work([largest])
            step = _optimizer(trainer)
        del trainer, model, go
    gc.collect()
    return rate * size + step, (rate, step), tokens


def _attention(prepared: Prepared) -> float:
    """What attention to one more token costs, in units of a token's own work: L h / P (causal, multiplications)."""
    config = prepared.config.get("text_config") or prepared.config
    width, layers = int(config.get("hidden_size") or 0), int(config.get("num_hidden_layers") or 0)
    return layers * width / max(1, prepared.parameters)


def _short(row: Rendered) -> Rendered:
    """A row's last tokens, which are trained on."""
    return replace(row, ids=row.ids[-PIECE:], labels=row.labels[-PIECE:])


def _passes(trainer: Any) -> Callable[[Seq[Any]], float]:
    """Seconds of the forward and backward passes of some micro-batches."""

    def go(batches: Seq[Any]) -> float:
        began = time.perf_counter()
        trainer.model.train()
        for batch in (b.to(trainer.args.device) for b in batches):
            with trainer.engine.around(trainer.model, batch):
                with trainer.accelerator.autocast():
                    loss = trainer.engine.loss(trainer.model, batch, 1e-3)
                loss.backward()
        _wait()
        return time.perf_counter() - began

    return go


def _optimizer(trainer: Any) -> float:
    """Seconds of one step, after one that makes the states."""
    trainer.create_optimizer()
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        trainer.optimizer.step()
        _wait()
        seconds = time.perf_counter() - began
    return seconds


def _scoring(prepared: Prepared) -> tuple[float, float]:
    """Seconds to score one model on all tasks, and seconds a token that is written."""
    from contextune.evaluate.scoring.generate import generate

    if not prepared.tasks and not prepared.recipe.evaluate.samples:
        return 0.0, 0.0
    began = time.perf_counter()
    model = open_for_scoring(prepared.recipe.model, prepared.model)
    total = time.perf_counter() - began
    rates: dict[str, float] = {}
    with models.threads(prepared.recipe.train.threads, model.num_parameters()):
        for task in prepared.tasks:
            if task.kind not in rates:
                items = sorted(task.items, key=_size)
                one = _timed(prepared, model, task, [_cut(items[0])])
                rates[task.kind] = one / _size(_cut(items[0]))
                few = items[:: max(1, len(items) // 16)][:16]
                if rates[task.kind] * sum(map(_size, few)) < PATIENCE:
                    rates[task.kind] = _timed(prepared, model, task, few) / sum(map(_size, few))
            total += rates[task.kind] * sum(map(_size, task.items))
        began = time.perf_counter()
        generate(model, prepared.tokenizer, ["The"], max_tokens=4, stop=())
        _wait()
        token = (time.perf_counter() - began) / 4
    del model
    gc.collect()
    return total, token


def _timed(prepared: Prepared, model: Any, task: Task, items: Seq[Item]) -> float:
    """Seconds to score some items of a task; of what is written a few tokens are measured."""
    from contextune.evaluate.scoring.score import score

    new = min(task.max_tokens, 4)
    part = replace(task, items=tuple(items), max_tokens=new)
    began = time.perf_counter()
    score(model, prepared.tokenizer, [part], arm="", seed=0, tokens=prepared.recipe.evaluate.tokens)
    _wait()
    return (time.perf_counter() - began) * (task.max_tokens / new if task.kind == "generate" else 1)


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


def _wait() -> None:
    """A GPU works on after a call returns."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
