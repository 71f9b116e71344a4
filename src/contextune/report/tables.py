"""Tables as columns and cells; a cell keeps the exact value beside its text, which sorting (and a script) reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .looks import ArmLook
from .numbers import between, bounds, duration, finite, num
from .read import Run, TrainingRecord

TITLES = {
    "accuracy": "Accuracy",
    "accuracy_token": "Accuracy a token",
    "accuracy_byte": "Accuracy a byte",
    "weighted_f1": "F1 weighted",
    "macro_f1": "F1 macro",
    "mcc": "MCC",
    "bits_per_byte": "Bits a byte",
    "n": "N",
}
"""Names of metrics as a table's head has them; others are written as they come."""

FLOORS = {
    "chance": "a guess",
    "constant": "the best single answer, place or form of answer",
    "copier": "continues as the context does after the same words",
    "deaf": "the trained arm that does best without the context",
}
"""Shown beside every value where known (results.json's `floors`); an untrained model is one of the arms."""

OF_TASK = ("n", "chance", "majority")
"""Said once for a task where all arms share them."""


def title(key: str) -> str:
    words = key.replace("_", " ")
    return TITLES.get(key, (words.capitalize() if key.islower() else words).replace(" f1", " F1"))


@dataclass(frozen=True)
class Cell:
    text: str = ""
    value: Any = None
    """What it is sorted by: a number, or None for text."""
    look: ArmLook | None = None
    sub: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Column:
    title: str
    numeric: bool = True
    look: ArmLook | None = None


@dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = field(default=())


def number(x: Any) -> Cell:
    return Cell(num(x), finite(x))


def arm(look: ArmLook) -> Cell:
    return Cell(look.name, look=look)


def overview(run: Run, looks: dict[str, ArmLook]) -> Table:
    """Tasks down, arms across, and what needs no training; the best value of a task in bold."""
    floors = (run.results.get("floors") or {}).get("tasks") or {}
    known = [k for k in FLOORS if any((of or {}).get(k) is not None for of in floors.values())]
    tasks, scores = run.results.get("tasks") or {}, run.results.get("arms") or {}
    rows = []
    for name, task in tasks.items():
        found = {a: (scores[a].get("tasks") or {}).get(name) or {} for a in looks if a in scores}
        values = [v for score in found.values() if (v := finite(score.get("value"))) is not None]
        best = (max if task.get("higher_is_better", True) else min)(values, default=None)
        cells = [_scored(score, best if len(set(values)) > 1 else None) for score in found.values()]
        low = "" if task.get("higher_is_better", True) else ", lower is better"
        beside = [number((floors.get(name) or {}).get(key)) for key in known]
        first = Cell(name, sub=f"{title(str(task.get('metric', '')))}{low}")
        rows.append((first, number(task.get("n")), *cells, *beside))
    heads = tuple(Column(a, look=looks[a]) for a in looks if a in scores)
    return Table((Column("Task", numeric=False), Column("N"), *heads, *(Column(title(k)) for k in known)), tuple(rows))


def _scored(score: dict[str, Any], best: float | None) -> Cell:
    value = finite(score.get("value"))
    return Cell(num(value), value, sub=between(score.get("interval")), strong=value is not None and value == best)


def of_task(scores: dict[ArmLook, dict[str, Any]], task: dict[str, Any], level: str) -> Table:
    """Arms down; value, interval, and every other number that any arm has for this task."""
    metric = str(task.get("metric", "value"))
    extra: dict[str, None] = {}
    for score in scores.values():
        found = {"n": score.get("n"), **(score.get("metrics") or {})}
        for key, value in found.items():
            shared = key in OF_TASK and value in (None, task.get(key))
            if key != metric and not shared and not isinstance(value, dict | list):
                extra[key] = None
    rows = []
    for look, score in scores.items():
        found = {"n": score.get("n"), **(score.get("metrics") or {})}
        pair = bounds(score.get("interval"))
        cells = [number(score.get("value")), Cell(between(score.get("interval")) or "–", pair[0] if pair else None)]
        rows.append((arm(look), *cells, *(number(found.get(key)) for key in extra)))
    heads = (Column("Arm", numeric=False), Column(title(metric)), Column(level), *(Column(title(key)) for key in extra))
    return Table(heads, tuple(rows))


def moved(run: Run, looks: dict[str, ArmLook], level: str) -> Table | None:
    """How far each arm's models have moved from the first one on general text; None where it was not measured."""
    found = (run.results.get("first_kl") or {}).get("arms") or {}
    rows = []
    for name, score in found.items():
        seeds = ", ".join(f"{num(v)} (seed {seed})" for seed, v in (score.get("seeds") or {}).items())
        cells = [number(score.get("value")), Cell(between(score.get("interval")) or "–"), Cell(seeds)]
        rows.append((arm(looks[name]) if name in looks else Cell(name), *cells))
    heads = (Column("Arm", numeric=False), Column("Nats a token"), Column(level), Column("By seed", numeric=False))
    return Table(heads, tuple(rows)) if rows else None


def by_class(scores: dict[ArmLook, dict[str, Any]]) -> list[tuple[str, Table]]:
    """One table for each metric that has a value a class: classes down, arms across."""
    keys = {k: None for s in scores.values() for k, v in (s.get("metrics") or {}).items() if isinstance(v, dict)}
    return [
        (title(key), _classes({a: (s.get("metrics") or {}).get(key) or {} for a, s in scores.items()})) for key in keys
    ]


def _classes(found: dict[ArmLook, dict[str, Any]]) -> Table:
    names = dict.fromkeys(name for values in found.values() for name in values)
    inner = dict.fromkeys(
        key for values in found.values() for v in values.values() if isinstance(v, dict) for key in v
    ) or {"": None}
    heads = [Column(f"{look.name} {title(k).lower() if k else ''}".strip(), look=look) for look in found for k in inner]
    rows = tuple(
        (Cell(str(name)), *(number(_pick(found[look].get(name), k)) for look in found for k in inner)) for name in names
    )
    return Table((Column("Class", numeric=False), *heads), rows)


def _pick(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None if key else value


COUNTS = ("rows", "tokens_in", "trained", "context", "cut", "dropped", "duplicated", "updates")
HEADS = ("Rows", "In", "Trained", "Context", "Cut", "Dropped", "Duplicated", "Updates")


def accounting(rows: list[dict[str, Any]], looks: dict[str, ArmLook]) -> Table:
    lines = []
    for row in rows:
        name = str(row.get("arm", "?"))
        first = arm(looks[name]) if name in looks else Cell(name)
        stage = Cell(str(row.get("stage", "")), finite(row.get("stage")))
        lines.append((first, stage, Cell(str(row.get("source", ""))), *(number(row.get(k)) for k in COUNTS)))
    heads = (Column("Arm", numeric=False), Column("Stage"), Column("Source", numeric=False))
    return Table((*heads, *(Column(h) for h in HEADS)), tuple(lines))


def contexts(rows: list[dict[str, Any]], looks: dict[str, ArmLook]) -> Table:
    """One row an arm, stage and kind of context; grades once a stage."""
    lines = []
    for row in rows:
        name, wanted, grades = str(row.get("arm", "?")), row.get("wanted") or {}, row.get("grades") or {}
        first, stage = arm(looks[name]) if name in looks else Cell(name), finite(row.get("stage"))
        for i, (kind, share) in enumerate((row.get("realised") or {}).items()):
            graded = (number(grades.get(grade) if i == 0 else None) for grade in ("low", "medium", "high"))
            told = number(wanted.get(kind)), number(share)
            lines.append((first, Cell(str(row.get("stage", "")), stage), Cell(str(kind)), *told, *graded))
    heads = (Column("Arm", numeric=False), Column("Stage"), Column("Contexts", numeric=False))
    rest = ("Wanted", "Drawn", "Low", "Medium", "High")
    return Table((*heads, *(Column(h) for h in rest)), tuple(lines))


def totals(rows: list[dict[str, Any]], looks: dict[str, ArmLook]) -> list[tuple[ArmLook, int, int]]:
    """Trained and context tokens of each arm that has any."""
    found: dict[str, list[int]] = {}
    for row in rows:
        sums = found.setdefault(str(row.get("arm")), [0, 0])
        sums[0] += int(finite(row.get("trained")) or 0)
        sums[1] += int(finite(row.get("context")) or 0)
    return [(look, *found[name]) for name, look in looks.items() if name in found and any(found[name])]  # type: ignore[misc]


def training(runs: Iterable[tuple[ArmLook, dict[int, TrainingRecord]]]) -> Table:
    """One row an arm and seed."""
    heads = (
        Column("Arm", numeric=False),
        Column("Seed"),
        Column("Updates"),
        Column("First loss"),
        Column("Last loss"),
        Column("Time"),
    )
    rows = []
    for look, seeds in runs:
        for seed, t in sorted(seeds.items()):
            first, last = (t.curve[0][1], t.curve[-1][1]) if t.curve else (None, None)
            time = Cell(duration(t.seconds), t.seconds)
            rows.append(
                (arm(look), number(seed), number(t.ends[-1] if t.ends else None), number(first), number(last), time)
            )
    return Table(heads, tuple(rows))
