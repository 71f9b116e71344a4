"""What a generated answer is worth, item by item, by the task's metric."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from contextune.core.items import Item, Task

from .. import metrics
from ..metrics import Grade


def grade(task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
    """Each output against its item's gold answer. The items need not be the task's own."""
    return metrics.find(task.metric).grade(task, items, outputs)
