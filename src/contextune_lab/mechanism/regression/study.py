"""All of the study's trainings, each in its own folder: what is finished is not done again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch

from contextune.core import progress
from contextune.core.errors import UserError, nearest
from contextune.core.files import write_text
from contextune.core.parallel import end_with

from . import tune
from .arms import ARMS
from .data import CLASSES
from .model import Regressor
from .presets import Preset
from .pretrain import base
from .tune import TuneRun

REPEATED = ("polynomial", ("cft", "cpt"))
"""The class and the arms whose figures are given with their spread over rounding."""


class BaseRun(NamedTuple):
    """A pretraining."""

    seed: int
    rounding: int = 0


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What is to be trained. Seed s starts from base s modulo the number of bases."""

    preset: Preset
    targets: dict[str, tuple[str, ...]]
    """Class of functions to the arms that are trained on it."""
    seeds: tuple[int, ...]
    out: Path
    repeated: tuple[int, ...] = ()
    """Seeds at which the arms of `REPEATED` are trained again, from the base on, under another rounding."""

    @property
    def runs(self) -> list[TuneRun]:
        return [TuneRun(t, arm, seed) for t, arms in self.targets.items() for arm in arms for seed in self.seeds]

    @property
    def repeats(self) -> list[TuneRun]:
        target, arms = REPEATED
        there = [arm for arm in arms if arm in self.targets.get(target, ())]
        return [TuneRun(target, arm, seed, 1) for arm in there for seed in self.repeated]

    @property
    def bases(self) -> list[int]:
        return sorted({seed % self.preset.bases for seed in self.seeds})

    def folder(self, run: TuneRun) -> Path:
        return self.out / "runs" / run.name

    def base(self, seed: int, rounding: int = 0) -> Path:
        return self.out / "bases" / (f"seed-{seed}" + f"-rounding-{rounding}" * bool(rounding))

    def start(self, run: TuneRun) -> BaseRun:
        """The base that a training begins with."""
        return BaseRun(run.seed % self.preset.bases, run.rounding)

    def check(self) -> None:
        """Raises UserError for an unknown name, and where the folder holds a study of another size."""
        for target, arms in self.targets.items():
            if target not in CLASSES:
                raise UserError(f"unknown class of functions '{target}'", nearest(target, CLASSES))
            for arm in (a for a in arms if a not in ARMS):
                raise UserError(f"unknown arm of the regression study: '{arm}'", nearest(arm, ARMS))
        kept = self.out / "preset.json"
        mine = json.loads(json.dumps(asdict(self.preset)))
        if kept.exists():
            theirs = json.loads(kept.read_text())
            changed = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
            if changed:
                raise UserError(
                    f"{self.out} holds a study with other values of: {', '.join(changed)}", "give another folder"
                )
        self.out.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(mine, indent=1))


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def run_all(plan: StudyPlan, reporter: progress.Reporter, workers: int = 1) -> float:
    """Pretrain, then fine-tune, `workers` processes at once; returns the seconds spent so far."""
    plan.check()
    every = [*plan.runs, *plan.repeats]
    wanted = dict.fromkeys([*map(BaseRun, plan.bases), *map(plan.start, plan.repeats)])
    bases = [b for b in wanted if not (plan.base(*b) / "model.safetensors").exists()]
    runs = [run for run in every if not (plan.folder(run) / "log.json").exists()]
    with _clock(plan.out) as tick, _pool(workers if len(bases) + len(runs) > 1 else 1) as pool:
        if bases:
            reporter.say(f"pretraining {len(bases)} model(s), {plan.preset.pretrain_steps:,} steps each, on {device()}")
            _pretrain(pool, plan, bases, reporter)
        if runs:
            with reporter.counting("fine-tuning", len(every), len(every) - len(runs)) as line:
                for name in _each(pool, plan, runs):
                    line.advance("fine-tuning", name)
                    tick()
    return spent(plan.out)


def _pretrain(
    pool: ProcessPoolExecutor | None, plan: StudyPlan, bases: list[BaseRun], reporter: progress.Reporter
) -> None:
    """Counts steps in this process; other processes tell when they are done."""
    with reporter.counting("pretraining", len(bases) * (plan.preset.pretrain_steps if pool is None else 1)) as line:
        if pool is not None:
            for name in _each(pool, plan, bases):
                line.advance("pretraining", name)
            return
        for one in bases:
            _base(plan, one, lambda step: line.advance("pretraining"))


@contextmanager
def _clock(out: Path) -> Iterator[Callable[[], None]]:
    """Adds up, over all the times that a study is taken up again, how long it took; what it gives keeps the sum."""
    before, began = spent(out), time.monotonic()

    def tick() -> None:
        write_text(out / "seconds.json", json.dumps(round(before + time.monotonic() - began, 3)))

    try:
        yield tick
    finally:
        tick()


def spent(out: Path) -> float:
    """Seconds of all the times that the study was run in this folder."""
    kept = out / "seconds.json"
    return float(json.loads(kept.read_text())) if kept.exists() else 0.0


def _each(pool: ProcessPoolExecutor | None, plan: StudyPlan, jobs: Sequence[BaseRun | TuneRun]) -> Iterator[str]:
    """Do the jobs; yields the name of each as it ends. An error ends all."""
    if pool is None:
        for job in jobs:
            yield _work(plan, job)
        return
    left = {pool.submit(_work, plan, job) for job in jobs}
    try:
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for job_done in done:
                yield job_done.result()
    finally:
        for future in left:
            future.cancel()


def _work(plan: StudyPlan, job: BaseRun | TuneRun) -> str:
    if isinstance(job, BaseRun):
        _base(plan, job)
        return f"base {job.seed}"
    tune.tune(_base(plan, plan.start(job)), plan.preset, job, plan.folder(job), device())
    return job.name


def _base(plan: StudyPlan, one: BaseRun, tell: Callable[[int], None] = lambda step: None) -> Regressor:
    return base(plan.preset, one.seed, plan.base(*one), device(), tell, one.rounding)


def _pool(workers: int) -> ProcessPoolExecutor | nullcontext[None]:
    """None where one process will do. Threads of several would wait for each other on models as small as these."""
    if workers == 1:
        return nullcontext()
    return ProcessPoolExecutor(workers, get_context("spawn"), _begin, (os.getpid(),))


def _begin(parent: int) -> None:
    """A worker with one thread, which ends when its parent was killed: what it holds lies in checkpoints."""
    torch.set_num_threads(1)
    end_with(parent)
