"""What a finished study measured: one value a seed for each arm, curves with bands, and the simple estimators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import torch
from torch import Tensor

from .data import CLASSES, Draw, moments
from .measure import ESTIMATORS, interval, squared
from .study import StudyPlan
from .tune import Outcome, TuneRun, read


@dataclass(frozen=True, slots=True)
class SeedValue:
    """A mean over seeds with its interval at 95 %, which is over the pretrained models that seeds began with: two seeds
    of one model are not two models.
    """

    by_seed: tuple[float, ...]
    bases: tuple[int, ...] = ()
    """The pretrained model of each seed; default: its own."""

    @property
    def mean(self) -> float:
        return fmean(self.by_seed)

    @property
    def interval(self) -> tuple[float, float] | None:
        by_base: dict[int, list[float]] = {}
        for base, value in zip(self.bases or range(len(self.by_seed)), self.by_seed, strict=True):
            by_base.setdefault(base, []).append(value)
        return interval([fmean(values) for values in by_base.values()])

    def __sub__(self, other: SeedValue) -> SeedValue:
        """Paired: both arms of a seed started from one base and saw the same functions."""
        return SeedValue(tuple(a - b for a, b in zip(self.by_seed, other.by_seed, strict=True)), self.bases)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes zero, else 0."""
        found = self.interval
        return 0 if found is None else int(found[0] > 0) - int(found[1] < 0)


@dataclass(frozen=True)
class Results:
    plan: StudyPlan

    @cached_property
    def outcomes(self) -> dict[TuneRun, Outcome]:
        return {run: read(self.plan.folder(run)) for run in self.plan.runs}

    @property
    def _bases(self) -> tuple[int, ...]:
        return tuple(seed % self.plan.preset.bases for seed in self.plan.seeds)

    def _of(self, target: str, arm: str) -> Sequence[Outcome]:
        return [self.outcomes[TuneRun(target, arm, seed)] for seed in self.plan.seeds]

    def alignment(self, target: str, arm: str, mode: str = "alignment") -> SeedValue:
        """At the last step; modes as in `tune.aligned`."""
        return SeedValue(tuple(o.log[-1][mode] for o in self._of(target, arm)), self._bases)

    def rounded(self, target: str, arm: str, rounding: int) -> SeedValue | None:
        """Alignment at the last step at the seeds that were repeated, under one of the two roundings; None where none
        were.
        """
        seeds = [r.seed for r in self.plan.repeats if (r.target, r.arm) == (target, arm)]
        found = [read(self.plan.folder(TuneRun(target, arm, seed, rounding))) for seed in seeds]
        bases = tuple(seed % self.plan.preset.bases for seed in seeds)
        return SeedValue(tuple(o.log[-1]["alignment"] for o in found), bases) if found else None

    def aligning(self, target: str, arm: str, mode: str = "alignment") -> tuple[list[int], Tensor]:
        """Steps, and cosines (seeds, steps)."""
        logs = [o.log for o in self._of(target, arm)]
        return [int(row["step"]) for row in logs[0]], torch.tensor([[row[mode] for row in log] for log in logs])

    def errors(self, target: str, arm: str, prefixed: bool = True) -> Tensor:
        """Squared error over that of the best constant at the same point: (seeds, functions, points)."""
        made = torch.stack([o.errors["with" if prefixed else "without"] for o in self._of(target, arm)])
        return made / self._unit(target)

    def error(self, target: str, arm: str, examples: int, prefixed: bool = True) -> SeedValue:
        """After so many pairs (x, g(x)); -1 for the most there are."""
        return SeedValue(tuple(self.errors(target, arm, prefixed)[:, :, examples].mean(1).tolist()), self._bases)

    def simple(self, target: str) -> dict[str, Tensor]:
        """Errors of the simple estimators on the same functions, in the same unit: (functions, points)."""
        draw, y = self._tested(target)
        unit = self._unit(target) * moments(target, self.plan.preset.d)[1]
        return {name: squared(estimate(draw.x, y), y) / unit for name, estimate in ESTIMATORS.items()}

    def _tested(self, target: str) -> tuple[Draw, Tensor]:
        preset = self.plan.preset
        draw = Draw.fresh(preset.tested, preset.points, preset.d, (5,))
        return draw, CLASSES[target](draw)

    def _unit(self, target: str) -> Tensor:
        """The best constant's error at each point, (points,), over the variance of g.

        It would be one for ever more functions; polynomials have such tails that it is not for the hundreds tested.
        """
        mean, variance = moments(target, self.plan.preset.d)
        return (self._tested(target)[1] - mean).square().mean(0) / variance
