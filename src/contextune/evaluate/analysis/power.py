"""How small a true difference a comparison can show, before anything is trained: by simulation of the rule in use.

Two arms answer the same T questions on each of C facts, trained from S seeds each. A fact is easy or hard for both: its
chance p of a right answer is uniform between guessing and 1; the better arm is right more often by the true difference
d, in proportion to 1 - p. An arm's score moves between seeds with a standard deviation of `seed_sd`. Then each

    lead by seed   m_s = d + H + N(0, 2 seed_sd²) + N(0, w / C)      H ~ N(0, Var(lift) / C), common to the seeds
    w              2 mean p(1 - p) (1 + (T - 1) r) / T               r: how alike answers on one fact are

is judged as `statistics.bootstrap` and `verdict.reach` do: the lower end of the interval at
1 - (1 - confidence) / comparisons, of the bootstrap over facts (its standard error) plus Student's t of the seeds, is
above zero. `tests/evaluate/test_power.py` holds this against the bootstrap itself on drawn answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SEED_SD = 0.02
"""Standard deviation of an arm's score between seeds where none is stated (`compare.seed_sd`)."""
POWER = 0.8
TRIED = 4000
"""Comparisons simulated for each difference."""
STEP = 0.005
"""Differences are looked at to half a point."""
ANGLES = 65


@dataclass(frozen=True)
class Design:
    """What decides how much can be seen: `questions` on each of the `facts`, which are resampled together."""

    facts: int
    questions: float
    seeds: int
    comparisons: int = 1
    chance: float = 0.25
    seed_sd: float = SEED_SD
    confidence: float = 0.95
    alike: float = 0.5
    """Correlation of a model's answers on one fact, beyond how hard it is."""


def smallest(design: Design) -> float | None:
    """The smallest true difference, a share, that is found in 80 % of the comparisons; None where not even 0.5 is."""
    low, high = 0, round(0.5 / STEP)
    if found(design, high * STEP) < POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(design, middle * STEP) >= POWER else (middle, high)
    return high * STEP


def found(design: Design, difference: float) -> float:
    """The share of comparisons in which the better arm is called clearly better."""
    rng = np.random.default_rng(0)
    p = design.chance + (1 - design.chance) * (np.arange(1000) + 0.5) / 1000
    better = lifted(p, difference)
    noise = (p * (1 - p) + better * (1 - better)).mean()
    w = noise * (1 + (design.questions - 1) * design.alike) / design.questions
    spread = (better - p).var()
    common = rng.standard_normal((TRIED, 1)) * np.sqrt(spread / design.facts)
    own = rng.standard_normal((TRIED, design.seeds)) * np.sqrt(2 * design.seed_sd**2 + w / design.facts)
    leads = difference + common + own
    of_items = np.full(TRIED, np.sqrt((spread + w / design.seeds) / design.facts))
    of_seeds = leads.std(1, ddof=1) / np.sqrt(design.seeds) if design.seeds > 1 else np.zeros(TRIED)
    return float((leads.mean(1) + lower(of_items, of_seeds, design) > 0).mean())


def lifted(p: Floats, more: float) -> Floats:
    """Chances whose mean is `more` higher, each in proportion to what is left above it."""
    return p + (1 - p) * min(1.0, more / float(np.mean(1 - p)))


def lower(of_items: Floats, of_seeds: Floats, design: Design) -> Floats:
    """The lower end of the intervals around 0: a quantile of of_items z + of_seeds t, z normal and t Student's."""
    angle = np.arctan2(of_seeds, of_items)
    table = _quantiles(design.seeds, 1 - (1 - design.confidence) / design.comparisons)
    return np.hypot(of_items, of_seeds) * np.interp(angle, np.linspace(0, np.pi / 2, ANGLES), table)


@lru_cache(maxsize=16)
def _quantiles(seeds: int, confidence: float) -> Floats:
    """Of cos(a) z + sin(a) t for angles a from 0 to a right one, by drawing."""
    rng = np.random.default_rng(1)
    z, t = rng.standard_normal(100_000), rng.standard_t(max(1, seeds - 1), 100_000)
    angles = np.linspace(0, np.pi / 2, ANGLES)
    return np.array([np.quantile(np.cos(a) * z + np.sin(a) * t, (1 - confidence) / 2) for a in angles])
