"""Successive halving: which of several settings trains best, for no more updates than one run has.

(Jamieson & Talwalkar 2016, Non-stochastic best arm identification, arXiv:1502.07943, Algorithm 1.) With n settings
there are R = ceil(log2 n) rungs, each for 1/R of the budget B: every setting that is left is trained from the start,
all for the same share of their own updates, and the better half goes on.

    rung 0   a  b  c  d      share of a whole run: B / (R · sum of their updates)
    rung 1      b     d      twice that, where they are as long
             → d

B is as many updates as the longest setting has, so that a search and the run after it cost at most two runs. A trial is
a whole training of its own with its own warm-up and decay, no part of a longer one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import product
from typing import Annotated

from pydantic import Field, model_validator

from contextune.core.options import MOST, Options, Refused

Values = Mapping[str, float]
"""A setting: values of keys of `train`."""
Done = Mapping[tuple[int, int], float]
"""(rung, candidate) -> validation loss; infinite where training diverged."""


class Search(Options):
    """Settings that each arm and seed choose from by their validation loss: all combinations of these values."""

    lr: tuple[Annotated[float, Field(ge=1e-12, le=1)], ...] = Field((), description="values of train.lr to try")
    steps: tuple[Annotated[int, Field(gt=0, le=MOST)], ...] = Field((), description="values of train.steps to try")

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of `train` that are searched."""
        return tuple(key for key in type(self).model_fields if getattr(self, key))

    @property
    def candidates(self) -> list[dict[str, float]]:
        """All settings, in the order of the recipe."""
        return [dict(zip(self.keys, values, strict=True)) for values in product(*(getattr(self, k) for k in self.keys))]

    @property
    def longest(self) -> dict[str, float]:
        """The first setting of those that train longest: what is reckoned with before anything is chosen."""
        return max(self.candidates, key=lambda c: c.get("steps", 0))

    @model_validator(mode="after")
    def _several(self) -> Search:
        for key in self.keys:
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise Refused(f"search.{key} names a value twice", "name each once")
        if len(self.candidates) < 2:
            raise Refused("search needs at least two settings to choose from", "for example {lr: [1e-5, 3e-5, 1e-4]}")
        return self


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate to be trained for a share of the updates that a whole run of it has."""

    rung: int
    candidate: int
    share: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a search is: trials of its current rung that have no loss yet, or its choice."""

    open: tuple[Trial, ...] = ()
    choice: int | None = None


def rungs(candidates: int) -> int:
    """Rounds until one candidate is left."""
    return max(1, math.ceil(math.log2(candidates)))


def trials(candidates: int) -> int:
    """How many trials a search of so many candidates makes."""
    alive, made = candidates, 0
    for _ in range(rungs(candidates)):
        made, alive = made + alive, math.ceil(alive / 2)
    return made


def standing(updates: Seq[int], done: Done) -> Standing:
    """What is to be tried next, given the updates of a whole run of each candidate and the losses so far.

    Of equal losses the earlier candidate's counts as lower. No choice where all candidates have diverged.
    """
    alive = list(range(len(updates)))
    for rung in range(rungs(len(updates))):
        trials = list(_rung(rung, alive, updates))
        if missing := tuple(t for t in trials if (rung, t.candidate) not in done):
            return Standing(missing)
        ranked = sorted(alive, key=lambda c: (done[rung, c], c))
        alive = sorted(ranked[: math.ceil(len(alive) / 2)])
    best = min(alive, key=lambda c: (done[rungs(len(updates)) - 1, c], c))
    return Standing(choice=best if math.isfinite(done[rungs(len(updates)) - 1, best]) else None)


def _rung(rung: int, alive: Seq[int], updates: Seq[int]) -> Iterator[Trial]:
    share = min(1.0, budget(updates) / (rungs(len(updates)) * sum(updates[c] for c in alive)))
    yield from (Trial(rung, c, share) for c in alive)


def budget(updates: Seq[int]) -> int:
    """Updates that a search has at most."""
    return max(updates)


def shortened(updates: int, share: float) -> int:
    """Updates of a stage in a trial."""
    return max(1, math.floor(updates * share + 1e-9))
