"""What a generated answer is worth, item by item, under each metric."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import external, metrics, sql, texts, trees
from .items import Item, Task


@dataclass(frozen=True, slots=True)
class Grade:
    """`correct` in [0, 1] (COMET's own scale may reach beyond); `notes` go into the outcome's fields."""

    predicted: str | None
    correct: float
    notes: dict[str, Any] = field(default_factory=dict)


def grade(task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
    """Each output against its item's gold, by the task's metric. The items need not be the task's own."""
    judge = _BY_METRIC.get(task.metric)
    return judge(task, items, outputs) if judge else [_read(task, i, o) for i, o in zip(items, outputs, strict=True)]


def _read(task: Task, item: Item, output: str) -> Grade:
    said = metrics.read_output(task.metric, output, item.gold, item.options)
    return Grade(said, float(said == item.gold))


Judge = Callable[[Task, Seq[Item], Seq[str]], list[Grade]]


def _each(worth: Callable[[str, str], float]) -> Judge:
    """`worth` of output and gold; an answer worth 1 counts as the gold one."""

    def judge(task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
        found = [(item, output.strip()) for item, output in zip(items, outputs, strict=True)]
        values = [worth(output, item.gold) for item, output in found]
        return [Grade(i.gold if v == 1 else o, v) for (i, o), v in zip(found, values, strict=True)]

    return judge


def _executed(task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
    made = []
    for item, output in zip(items, outputs, strict=True):
        why = sql.judge(Path(item.fields["database"]), output, item.gold)
        made.append(Grade(output.strip() if why else item.gold, float(not why), {"reason": why} if why else {}))
    return made


def _commanded(task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
    rows = [(i.id, str(i.fields.get("input", i.prompt)), o, i.gold) for i, o in zip(items, outputs, strict=True)]
    found = external.scores(task.fields["command"], rows, f"task {task.name}")
    return [Grade(output.strip(), value) for output, value in zip(outputs, found, strict=True)]


_BY_METRIC: dict[str, Judge] = {
    "chrf": _each(lambda output, gold: texts.sentence("chrf", output, gold)),
    "bleu": _each(lambda output, gold: texts.sentence("bleu", output, gold)),
    "tree_match": _each(lambda output, gold: float(trees.equal(output, gold))),
    "tree_match_unordered": _each(lambda output, gold: float(trees.equal(output, gold, ordered=False))),
    "tree_f1": _each(trees.f1),
    "sql_match": _each(lambda output, gold: float(sql.normal(output) == sql.normal(gold))),
    "execution": _executed,
    "comet": _commanded,
}
