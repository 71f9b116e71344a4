"""What each arm answered, item by item, read from `outcomes/ARM.seed-S.TASK.parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError, first_line

from .looks import ArmLook
from .read import AGAIN, Run

MOST = 2000
"""Items in one page."""
LONGEST = 600
"""Characters of an answer."""
COLUMNS = ["arm", "seed", "task", "item", "gold", "predicted", "output", "correct"]


@dataclass(frozen=True)
class Answer:
    look: ArmLook
    text: str
    right: bool
    share: str
    """Seeds in which it is right, of those that there are: "4 of 5"; empty where there is one."""


@dataclass(frozen=True)
class AnsweredItem:
    task: str
    id: str
    gold: str
    answers: tuple[Answer, ...]
    question: str = ""
    """What was asked, its end where it is long; empty in runs of before that was kept."""


@dataclass(frozen=True)
class Answers:
    """Those shown, of `total`, with the arms and tasks to choose from."""

    items: tuple[AnsweredItem, ...]
    total: int
    each: int
    """Items of a task that are shown at most."""
    looks: tuple[ArmLook, ...]
    tasks: tuple[str, ...]
    number: int = 1
    """Of the page, of so many (`of`)."""
    of: int = 1


@dataclass
class _Found:
    gold: str = ""
    by: dict[str, list[tuple[int, str, float]]] = field(default_factory=dict)


def pages(run: Run, looks: dict[str, ArmLook]) -> list[Answers]:
    """The answers of all arms, MOST items a page; none where no outcomes are there. UserError for a file that cannot
    be read.

    The first page has the first items of each task, as many of one as of another; further pages have the others.
    """
    found: dict[str, dict[str, _Found]] = {}
    asked = run.questions
    for row in _rows(run.folder):
        if row["correct"] is None or row["arm"] not in looks:
            continue  # a perplexity has no answers
        item = found.setdefault(row["task"], {}).setdefault(row["item"], _Found())
        item.gold = str(row["gold"] or "")
        said = row["output"] if row["output"] is not None else row["predicted"]
        item.by.setdefault(row["arm"], []).append((row["seed"], _cut(str(said or "")), float(row["correct"])))
    if not found:
        return []
    each = _each([len(items) for items in found.values()], MOST)
    order = [task for task in run.results.get("tasks") or {} if task in found]
    order += sorted(found.keys() - set(order))
    first = [(task, id) for task in order for id in list(found[task])[:each]]
    others = [(task, id) for task in order for id in list(found[task])[each:]]
    parts = [first, *(others[i : i + MOST] for i in range(0, len(others), MOST))]
    total = sum(map(len, found.values()))
    made = []
    for number, part in enumerate(parts, 1):
        shown = tuple(_item(task, id, found[task][id], looks, asked) for task, id in part)
        there, tasks = {a.look.name for item in shown for a in item.answers}, {task for task, _ in part}
        seen = tuple(look for name, look in looks.items() if name in there)
        made.append(Answers(shown, total, each, seen, tuple(t for t in order if t in tasks), number, len(parts)))
    return made


def _each(sizes: list[int], most: int) -> int:
    """The largest number of items of a task with which no more than `most` are shown, one at least."""
    each = max(sizes)
    while each > 1 and sum(min(n, each) for n in sizes) > most:
        each -= 1
    return each


def _item(
    task: str, id: str, found: _Found, looks: dict[str, ArmLook], asked: dict[str, dict[str, str]]
) -> AnsweredItem:
    made = []
    for name, look in looks.items():
        if rows := sorted(found.by.get(name, ())):
            right = [correct for _, _, correct in rows]
            share = f"{sum(c > 0.5 for c in right)} of {len(right)}" if len(right) > 1 else ""
            made.append(Answer(look, rows[0][1], sum(right) / len(right) > 0.5, share))
    question = asked.get(task)
    text = question.get(id) if isinstance(question, dict) else None
    return AnsweredItem(task, id, _cut(found.gold), tuple(made), str(text or ""))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    files = sorted((folder / "outcomes").glob("*.parquet"))
    if not files:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            yield from pq.ParquetFile(file).read(columns=COLUMNS).to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError) as e:
            raise UserError(f"{file}: not readable ({first_line(e)})", AGAIN) from None
