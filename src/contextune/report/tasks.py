"""What a page says of each task, each measure, and the differences between arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import environment, figures, tables
from .looks import ArmLook
from .numbers import num
from .read import Run

MEASURES = {
    "learn": "what was taught, asked as it was taught",
    "generalise": "reversals, deductions and rephrasings that were never shown",
    "listen": "uses a relevant context that its weights do not know",
    "resist": "is not led astray by an irrelevant or luring context",
    "retain": "what it could do before training",
}


@dataclass(frozen=True)
class Card:
    """One task: its facts, a chart of all arms, a table, and tables by class where there are any."""

    name: str
    about: str
    facts: tuple[str, ...]
    chart: figures.Chart
    table: tables.Table | None
    """None where it would only repeat the chart."""
    classes: list[tuple[str, tables.Table]]
    prompt: str
    prompt_hash: str


def cards(run: Run, looks: dict[str, ArmLook]) -> list[Card]:
    arms = run.results.get("arms") or {}
    return [
        _card(name, task, arms, looks, environment.level(run), floors(run.results, "tasks", name, task))
        for name, task in (run.results.get("tasks") or {}).items()
    ]


def _card(
    name: str, task: dict[str, Any], arms: dict[str, Any], looks: dict[str, ArmLook], level: str, refs: dict[str, Any]
) -> Card:
    scores = {looks[a]: (arm.get("tasks") or {}).get(name) or {} for a, arm in arms.items()}
    rows = [(look, score.get("value"), score.get("interval")) for look, score in scores.items()]
    table = tables.of_task(scores, task, level)
    return Card(
        name,
        str(task.get("about") or ""),
        _facts(task, refs),
        figures.bars(rows, refs, bool(task.get("higher_is_better", True))),
        table if len(table.columns) > 3 else None,
        tables.by_class(scores),
        str(task.get("prompt") or ""),
        str(task.get("prompt_hash") or ""),
    )


def _facts(task: dict[str, Any], refs: dict[str, Any]) -> tuple[str, ...]:
    measure = task.get("measure")
    lower = "" if task.get("higher_is_better", True) else " (lower is better)"
    said = [str(task.get("kind", "")), f"{tables.title(str(task.get('metric', 'value')))}{lower}"]
    said += [f"N {num(task['n'])}"] if task.get("n") is not None else []
    said += [f"{key} {num(value)}" for key, value in refs.items() if value is not None]
    return tuple(s for s in (*said, f"measures: {measure}" if measure and measure != "task" else "") if s)


FLOORS = {
    "chance": "a guess",
    "constant": "the best single answer, place or form of answer",
    "copier": "continues as the context does after the same words",
    "deaf": "the trained arm that does best without the context",
}
"""What stands beside every value, where it is known; an untrained model is one of the arms."""


def told() -> str:
    """What the floors are, in a sentence."""
    return "Lines: " + "; ".join(f"{name}, {meaning}" for name, meaning in FLOORS.items()) + "."


def floors(results: dict[str, Any], *place: str | dict[str, Any]) -> dict[str, Any]:
    """Those of a task, a measure or the score, by the names that lead to them in results.json; of results without
    them, chance and majority of what is given last.
    """
    found: Any = results.get("floors") or {}
    for name in place:
        if isinstance(name, str) and isinstance(found, dict):
            found = found.get(name) or {}
    if found:
        return {key: found.get(key) for key in FLOORS}
    last = place[-1]
    return {key: last.get(key) for key in ("chance", "majority")} if isinstance(last, dict) else {}


def deciding(run: Run) -> list[str]:
    """The tasks that the verdict rests on: as the results say, else as the recipe does."""
    compare = run.recipe.get("compare") or {}
    given = (run.results.get("verdict") or {}).get("tasks") or (
        compare.get("tasks") if isinstance(compare, dict) else None
    )
    if given:
        return [str(name) for name in given]
    tasks = run.results.get("tasks") or {}
    return [n for n, task in tasks.items() if task.get("measure") != "retain" and task.get("higher_is_better", True)]


def references(results: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the score itself; without floors, known where one task alone makes it."""
    tasks = list((results.get("tasks") or {}).values())
    return floors(results, "score", tasks[0] if len(tasks) == 1 else results)


def differences(arms: dict[str, Any], looks: dict[str, ArmLook]) -> figures.Chart | None:
    rows = []
    for name, arm in arms.items():
        difference = arm.get("difference")
        if isinstance(difference, dict) and not looks[name].baseline:
            rows.append((looks[name], difference.get("value"), difference.get("interval")))
    return figures.forest(rows) if rows else None


def measures(results: dict[str, Any], looks: dict[str, ArmLook]) -> list[tuple[str, str, figures.Chart]]:
    """(measure, what it means, chart) of each measure that any arm has."""
    found, arms = [], results.get("arms") or {}
    for key, meaning in MEASURES.items():
        scores = {a: (arm.get("measures") or {}).get(key) or {} for a, arm in arms.items()}
        if any(s.get("value") is not None for s in scores.values()):
            rows = [(looks[a], s.get("value"), s.get("interval")) for a, s in scores.items()]
            found.append((key, meaning, figures.bars(rows, floors(results, "measures", key))))
    return found
