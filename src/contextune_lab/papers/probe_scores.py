"""Probes of a run, by arm and step, with intervals over seeds and items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.evaluate.analysis.statistics import Estimate, bootstrap
from contextune.evaluate.metrics.texts import nearest
from contextune.experiment.run_dir import stage_folder

if TYPE_CHECKING:
    from contextune.evaluate.metrics.metric import Array

ScoreRow = dict[str, Any]
SCORES: dict[str, tuple[str, Callable[[ScoreRow], float]]] = {
    "in_weights": ("random", lambda r: float(r["score"])),
    "in_weights_alone": ("none", lambda r: float(r["score"])),
    "in_context": ("edited", lambda r: float(r["score"])),
    "fresh": ("fresh", lambda r: float(r["score"])),
    "high": ("similar", lambda r: float(r["score"])),
    "copy": ("random", lambda r: max(0.0, float(r["near"]) - float(r["gold_near"]))),
    "copied": ("random", lambda r: float(r["copied"]) - float(r["gold_copied"])),
    "drawn": ("lure", lambda r: max(0.0, _nearer(r))),
    "lured": ("lure", lambda r: float(r["lured"])),
}
"""Score: the probe whose rows it is computed from, and what a row is worth."""


def _nearer(row: ScoreRow) -> float:
    """How much nearer (chrF) the output is to the lure than the gold is."""
    return nearest(row["output"].strip(), [row["lure"]]) - nearest(row["gold"], [row["lure"]])


@dataclass(frozen=True)
class Probed:
    """Of one arm: (step, score) to its estimate."""

    found: Mapping[tuple[int, str], Estimate]

    @property
    def steps(self) -> list[int]:
        return sorted({step for step, _ in self.found})

    def has(self, score: str) -> bool:
        return any(name == score for _, name in self.found)

    def at(self, score: str, step: int = -1) -> Estimate:
        """At a step by its place: -1 the last one, 0 before training."""
        return self.found[self.steps[step], score]

    def curve(self, score: str) -> list[tuple[float, float, float, float]]:
        """(step, value, low, high)."""
        points = []
        for step in self.steps:
            e = self.found[step, score]
            low, high = e.interval(0.95) or (e.value, e.value)
            points.append((float(step), e.value, low, high))
        return points


def probed(out: Path, task: str, arms: Iterable[str], seeds: Seq[int]) -> dict[str, Probed]:
    """What was asked of each arm while it trained, from the raw rows on disk."""
    return {arm: Probed(_of(out, task, arm, seeds)) for arm in arms}


def _of(out: Path, task: str, arm: str, seeds: Seq[int]) -> dict[tuple[int, str], Estimate]:
    folders = [stage_folder(out, arm, seed, 0) / "probes" for seed in seeds]
    steps = sorted(int(f.stem.rpartition(".")[2]) for f in folders[0].glob(f"{task}.*.jsonl"))
    found: dict[tuple[int, str], Estimate] = {}
    for step in steps:
        rows = [_rows(folder / f"{task}.{step:06d}.jsonl") for folder in folders]
        values = {name: [[worth(r) for r in of if r["probe"] == probe] for of in rows]
                  for name, (probe, worth) in SCORES.items()}  # fmt: skip
        values = {name: v for name, v in values.items() if v[0]}
        cells = {(arm, name): [_mean(v) for v in of_seeds] for name, of_seeds in values.items()}
        items = {name: len(v[0]) for name, v in values.items()}
        bounds = {name: (-1.0 if name == "copied" else 0.0, 1.0) for name in items}
        found |= {(step, name): e for (_, name), e in bootstrap(cells, items, len(seeds), bounds=bounds).items()}
    return found


def _rows(file: Path) -> list[ScoreRow]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _mean(values: Seq[float]) -> Callable[[Array], Array]:
    import numpy as np

    known = np.asarray(values)
    return lambda weights: (weights * known).sum(-1) / weights.sum(-1)
