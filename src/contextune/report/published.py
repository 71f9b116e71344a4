"""What a paper printed, beside what this run measured. The figures are data, in published.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tables import Cell, Column, Table

if TYPE_CHECKING:
    from .looks import Look
    from .read import Run

FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Published:
    source: str
    table: Table
    notes: tuple[str, ...]


def names() -> list[str]:
    return sorted(_known())


def beside(run: Run, looks: dict[str, Look]) -> Published | None:
    """The table that `compare.published` names, with the run's own scores; None where the recipe names none."""
    compare = run.recipe.get("compare")
    found = _known().get(str(compare.get("published"))) if isinstance(compare, dict) else None
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


@cache
def _known() -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))
