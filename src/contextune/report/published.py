"""What a paper printed, beside what this run measured; results.json holds the printed figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .tables import Cell, Column, Table

if TYPE_CHECKING:
    from .looks import ArmLook
    from .read import Run


@dataclass(frozen=True)
class Published:
    source: str
    table: Table
    notes: tuple[str, ...]


def beside(run: Run, looks: dict[str, ArmLook]) -> Published | None:
    """The table that `compare.published` names, with the run's own scores; None where the recipe names none."""
    found = run.results.get("published")
    if found is None:
        return None
    arms = list(found["arms"])
    own = {arm: _own(run, arm, found["tasks"]) for arm in arms}
    rows = [
        (Cell(task), *(_cell(own[arm][i], found["arms"][arm][i]) for arm in arms))
        for i, task in enumerate(found["tasks"])
    ]
    rows.append((Cell("average"), *(_cell(_mean(own[arm]), found["averages"].get(arm)) for arm in arms)))
    heads = (Column("Task", numeric=False), *(Column(arm, look=looks.get(arm)) for arm in arms))
    return Published(str(found["source"]), Table(heads, tuple(rows)), tuple(map(str, found["notes"])))


def _own(run: Run, arm: str, tasks: list[str]) -> list[float | None]:
    """Per cent on each task; None where the run has no such score."""
    scores = ((run.results.get("arms") or {}).get(arm) or {}).get("tasks") or {}
    values = [(scores.get(task) or {}).get("value") for task in tasks]
    return [100 * v if isinstance(v, int | float) else None for v in values]


def _mean(values: list[float | None]) -> float | None:
    there = [v for v in values if v is not None]
    return sum(there) / len(there) if len(there) == len(values) else None


def _cell(own: float | None, printed: float | None) -> Cell:
    return Cell("–" if own is None else f"{own:.2f}", own, sub="" if printed is None else f"paper {printed:.2f}")
