"""One comparison of a study: a recipe run in a folder, and its estimates."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.core.progress import Reporter
from contextune.evaluate.analysis import summary
from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune.experiment import run as comparison
from contextune.experiment.prepare.contexts import STORE

from .figures import BarValue


@dataclass(frozen=True)
class Comparison:
    """What a recipe gave: its folder, the content of results.json, and paired estimates."""

    folder: Path
    results: dict[str, Any]
    estimates: summary.Estimates

    def of(self, arm: str, task: str) -> Estimate:
        """Share right; `task` may be "measure:NAME"."""
        return self.estimates[arm, task]

    def value(self, arm: str, task: str) -> BarValue:
        e = self.of(arm, task)
        interval = e.interval(0.95)
        return e.value, None if interval is None else (interval[0], interval[1])

    def chance(self, task: str) -> float | None:
        found = self.results["tasks"][task]["chance"]
        return None if found is None else float(found)

    def rows(self) -> dict[str, int]:
        """Records that each arm trained on."""
        counted: dict[str, int] = {}
        for row in json.loads((self.folder / "accounting.json").read_text()):
            counted[row["arm"]] = counted.get(row["arm"], 0) + row["rows"]
        return counted

    def leaks(self, arm: str) -> dict[str, float]:
        """Share of each task's statements that stand in the arm's generated texts; empty where none were made."""
        shares: dict[str, float] = {}
        for file in sorted((self.folder / "augmented").glob(f"{arm}.stage-*.json")):
            shares |= {task: found["share"] for task, found in json.loads(file.read_text())["leak"].items()}
        return shares


@dataclass(frozen=True)
class ControlledComparison:
    """A comparison, and another of its controls, which have fewer seeds; each arm is in one of them."""

    main: Comparison
    controls: Comparison | None = None

    @property
    def folders(self) -> list[str]:
        return [c.folder.name for c in (self.main, self.controls) if c is not None]

    @property
    def control_arms(self) -> list[str]:
        return [] if self.controls is None else list(self.controls.results["arms"])

    def has(self, arm: str) -> bool:
        return arm in self.main.results["arms"] or arm in self.control_arms

    def part(self, arm: str) -> Comparison:
        return self.controls if self.controls is not None and arm in self.control_arms else self.main

    def seeds_of(self, arm: str) -> int:
        return len(self.part(arm).results["arms"][arm]["seeds"])

    def of(self, arm: str, task: str) -> Estimate:
        return self.part(arm).of(arm, task)

    def value(self, arm: str, task: str) -> BarValue:
        return self.part(arm).value(arm, task)

    def chance(self, task: str) -> float | None:
        return self.main.chance(task)

    def floor(self, task: str, chance: float) -> float:
        """The best of chance and of a constant answer, on the items that were asked."""
        found = self.main.results.get("floors", {}).get("tasks", {}).get(task, {})
        return max((v for v in (found.get("chance"), found.get("constant")) if v is not None), default=chance)

    def rows(self) -> dict[str, int]:
        return self.main.rows() | (self.controls.rows() if self.controls else {})


def share_store(of: Path, out: Path) -> None:
    """What a writer has written for one comparison is not asked again for another of the same texts."""
    if not (of / STORE).exists() or (out / STORE).exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    part = out.parent / f"{out.name}.{STORE}"
    with closing(sqlite3.connect(of / STORE)) as there, closing(sqlite3.connect(part)) as here:
        there.backup(here)
    part.replace(out / STORE)


def compare(spec: dict[str, Any], out: Path, reporter: Reporter) -> Comparison:
    """Run a recipe in `out`, resuming where it stopped, with a worker a core."""
    made = recipes.parse({**spec, "output": str(out)})
    reporter.say(f"{made.name}: {len(made.arms)} arms, {len(made.seeds)} seeds")
    results = comparison.run(made, base=Path(), reporter=reporter, workers=0)
    return Comparison(out, results, summary.estimates(out, list(made.arms), made.compare.resamples))
