"""The best rate and length of each arm of the study of contextual fine-tuning, with the same search for all.

Every arm trains at every rate of one grid on a draw of the world that is not judged, for the longest length, at a
constant rate and without warm-up, and is asked on the way: a shorter training is the beginning of a longer one, bit
for bit. What it has most right at, by the mean over seeds, is its own setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .curves import Curves

DRAW = 0
"""The draw of the world on which settings are chosen."""
SEEDS = 2
"""Seeds of the search."""
LONGEST, EVERY = 240, 40
"""Updates of a document stage at most, and between two looks."""
POCKET_RATES = (1.5e-3, 3e-3, 6e-3)
CONSTANT = {"schedule": "constant", "warmup": 0.0}


@dataclass(frozen=True, slots=True)
class Setting:
    """Of one arm: learning rate and updates, and the share right that they reached in the search."""

    rate: float
    steps: int
    right: float


def name_of(arm: str, place: int) -> str:
    """The name in the search of an arm at the grid's rate of that place."""
    return f"{arm}-rate{place + 1}"


def arms(document: Mapping[str, Mapping[str, Any]], rates: Seq[float]) -> dict[str, Any]:
    """Each arm at each rate."""
    return {
        name_of(arm, i): {**stage, "about": f"{stage['about']}, at {rate:g}", "train": {"lr": rate}}
        for arm, stage in document.items()
        for i, rate in enumerate(rates)
    }


def chosen(curves: Curves, document: Seq[str], rates: Seq[float]) -> dict[str, Setting]:
    """Of equally good settings the shorter, then the slower one."""
    found = {}
    for arm in document:
        tried = [
            Setting(rate, step, curves.at(name_of(arm, i), step).value)
            for i, rate in enumerate(rates)
            for step in curves.trained
        ]
        found[arm] = min(tried, key=lambda s: (-s.right, s.steps, s.rate))
    return found


def seeds(wanted: Seq[int]) -> tuple[int, ...]:
    return tuple(wanted[:SEEDS])


def looks(longest: int) -> int:
    """Updates between two looks: six a training."""
    return max(1, longest * EVERY // LONGEST)


def folder(out: Path) -> Path:
    return out / "search"
