"""What a comparison can show, said before training: held against the bootstrap and the verdict in use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contextune.evaluate.analysis import verdict
from contextune.evaluate.analysis.power import Design, found, lifted, smallest
from contextune.evaluate.analysis.statistics import bootstrap

SMALL = Design(facts=60, questions=1, seeds=3, seed_sd=0.02)


def judged(design: Design, difference: float, trials: int) -> float:
    """The share of comparisons that end with the better arm clear: answers drawn, bootstrapped, judged."""
    rng, hits = np.random.default_rng(7), 0
    for trial in range(trials):
        p = design.chance + (1 - design.chance) * rng.random(design.facts)
        cells = {}
        for arm, chances in {"better": lifted(p, difference), "other": p}.items():
            moved = design.seed_sd * rng.standard_normal((design.seeds, 1))
            right = (rng.random((design.seeds, design.facts)) < chances + moved).astype(float)
            cells[arm, "t"] = [lambda w, own=own: (w * own).sum(-1) / w.sum(-1) for own in right]
        scores = {arm: e for (arm, _), e in bootstrap(cells, {"t": design.facts}, design.seeds, 400, trial).items()}
        said = verdict.reach(
            scores, "other", design.confidence, untrained=(), seeds=design.seeds, items=design.facts, floor=None
        )
        hits += said["clear"] and said["winner"] == "better"
    return hits / trials


def test_the_bootstrap_in_use_finds_what_it_says():
    least = smallest(SMALL)
    assert judged(SMALL, least, 60) == pytest.approx(0.8, abs=0.16)  # three standard deviations of 60 trials
    half = least / 2
    assert judged(SMALL, half, 60) == pytest.approx(found(SMALL, half), abs=0.19)


def test_more_seeds_facts_and_questions_show_less_and_more_arms_more():
    usual = smallest(Design(200, 4, 3))
    assert usual == pytest.approx(0.155, abs=0.02)
    assert smallest(Design(200, 4, 5)) < usual
    assert smallest(Design(800, 4, 3)) < usual
    assert smallest(Design(200, 1, 3)) > usual
    assert smallest(Design(200, 4, 3, comparisons=4)) > usual
    assert smallest(Design(200, 4, 3, seed_sd=0.001)) < usual


def test_no_difference_is_hardly_ever_found():
    assert found(replace(SMALL, facts=200), 0.0) <= 0.025


def test_a_handful_of_facts_shows_nothing():
    assert smallest(Design(4, 1, 2)) is None


def test_lifted_chances_have_the_mean_that_is_asked_for():
    p = np.linspace(0.25, 1, 50)
    assert lifted(p, 0.1).mean() == pytest.approx(p.mean() + 0.1)
    assert lifted(p, 0.1).max() <= 1
