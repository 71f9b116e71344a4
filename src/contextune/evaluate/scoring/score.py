"""Ask a model all items of some tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from contextune.core.asking import chat_text
from contextune.core.commands import refuse_commands
from contextune.core.errors import UserError
from contextune.core.items import Task
from contextune.core.sequence import Tokenizer
from contextune.models.at_once import AtOnce

from .. import metrics
from . import outcomes
from .choice import score_choices
from .floors import floors
from .generate import fitted, generate
from .grading import grade
from .perplexity import score_texts

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

ScoreProgress = Callable[[str, int, int], None]
"""(task, items done, items in all)"""


def score(
    model: Any,
    tokenizer: Tokenizer,
    tasks: Iterable[Task],
    *,
    arm: str,
    seed: int,
    tokens: AtOnce = "auto",
    progress: ScoreProgress | None = None,
    without_context: bool = True,
) -> dict[str, pa.Table]:
    """Outcomes by task name (columns: outcomes.schema). The model is left as it was found.

    `tokens` bounds what is computed at once and has no effect on the result. `without_context`: items that have a
    context are asked again without it (column `deaf`), as they always are where the metric needs it.
    """
    found: dict[str, pa.Table] = {}
    tasks = list(tasks)
    refuse_commands(tasks)
    for task in tasks:
        if task.name in found:
            raise UserError(f"two tasks are called '{task.name}'", "give one of them another name")
        metrics.check(task.metric, task.kind, f"task {task.name}")
        if not task.items:
            raise UserError(f"task {task.name}: no items", "give it rows")
        rows = _ASK[task.kind](model, tokenizer, task, tokens, _reporter(progress, task))
        cut = sum(row.get("cut", 0) > 0 for row in rows)
        if cut:
            _log.warning("%s: %d of %d prompts are too long and lost their beginning", task.name, cut, len(rows))
        if without_context or metrics.find(task.metric).of_deaf:
            deaf = _deaf(model, tokenizer, task, tokens)
            rows = [{**row, "deaf": deaf.get(item.id)} for row, item in zip(rows, task.items, strict=True)]
        found[task.name] = outcomes.table(_as_read(task, tokenizer), rows, arm, seed, floors(task))
    return found


def _deaf(model: Any, tokenizer: Tokenizer, task: Task, tokens: AtOnce) -> dict[str, float | None]:
    """By item: what the answer is worth that the prompt without its context gives. Nothing of perplexity."""
    items = tuple(replace(i, prompt=i.alone, before="") for i in task.items if i.alone is not None)
    if not items or task.kind == "perplexity":
        return {}
    rows = _ASK[task.kind](model, tokenizer, replace(task, items=items), tokens, lambda done: None)
    return {item.id: row["correct"] for item, row in zip(items, rows, strict=True)}


def _as_read(task: Task, tokenizer: Tokenizer) -> Task:
    """The task with its prompts as the model reads them, behind nothing: an item is the same in every arm."""
    if not task.chat:
        return task
    asked = [task.asked(replace(item, before="")) for item in task.items]
    texts = [a if isinstance(a, str) else chat_text(a, tokenizer) for a in asked]
    return replace(
        task,
        items=tuple(replace(i, prompt=t, cluster=i.resampled_with) for i, t in zip(task.items, texts, strict=True)),
    )


def _reporter(progress: ScoreProgress | None, task: Task) -> Callable[[int], None]:
    return lambda done: progress(task.name, done, len(task.items)) if progress else None


def _choices(
    model: Any, tokenizer: Tokenizer, task: Task, tokens: AtOnce, progress: Callable[[int], None]
) -> Seq[dict[str, Any]]:
    rows = []
    scores = score_choices(model, tokenizer, task.items, tokens, progress, task.asked)
    for item, found in zip(task.items, scores, strict=True):
        chosen = item.options[metrics.choose(task.metric, found.sums, found.tokens, found.bytes)]
        row = {"sums": found.sums, "tokens": found.tokens, "bytes": found.bytes, "options": item.options}
        rows.append(row | _judged(item.gold, chosen) | {"cut": found.cut})
    return rows


def _texts(
    model: Any, tokenizer: Tokenizer, task: Task, tokens: AtOnce, progress: Callable[[int], None]
) -> Seq[dict[str, Any]]:
    prompts = [task.asked(item) for item in task.items]
    texts = generate(
        model, tokenizer, prompts, max_tokens=task.max_tokens, stop=task.stop, tokens=tokens, progress=progress
    )
    _, cuts = fitted(model, tokenizer, prompts, task.max_tokens)
    rows = []
    grades = grade(task, task.items, texts)
    for item, text, cut, found in zip(task.items, texts, cuts, grades, strict=True):
        judged = {"gold": item.gold, "predicted": found.predicted, "correct": found.correct, "notes": found.notes}
        rows.append({"output": text, "options": item.options, "cut": cut} | judged)
    return rows


def _likelihoods(
    model: Any, tokenizer: Tokenizer, task: Task, tokens: AtOnce, progress: Callable[[int], None]
) -> Seq[dict[str, Any]]:
    found = score_texts(model, tokenizer, task.items, tokens, progress)
    return [{"sums": [f.sum], "tokens": [f.tokens], "bytes": [f.bytes]} for f in found]


def _judged(gold: str, predicted: str | None) -> dict[str, Any]:
    return {"gold": gold, "predicted": predicted, "correct": float(predicted == gold)}


_ASK = {"choice": _choices, "generate": _texts, "perplexity": _likelihoods}
