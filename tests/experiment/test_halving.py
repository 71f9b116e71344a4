"""Successive halving in numbers alone: what is tried, for how many updates, and what is chosen."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from contextune.core.errors import UserError
from contextune.evaluate.analysis.statistics import bootstrap
from contextune.evaluate.analysis.verdict import reach
from contextune.experiment.halving import Search, budget, rungs, shortened, standing, trials
from contextune.experiment.recipe import Recipe


def played(updates, loss):
    """All trials of a search whose losses are `loss(rung, candidate)`, and what it chooses."""
    done, made = {}, []
    while (found := standing(updates, done)).open:
        for trial in found.open:
            made.append((trial.rung, trial.candidate, shortened(updates[trial.candidate], trial.share)))
            done[trial.rung, trial.candidate] = loss(trial.rung, trial.candidate)
    return made, found.choice


def test_four_settings_of_one_length():
    made, choice = played([96] * 4, lambda rung, c: [3.0, 1.0, 4.0, 2.0][c])
    assert made == [(0, 0, 12), (0, 1, 12), (0, 2, 12), (0, 3, 12), (1, 1, 24), (1, 3, 24)]
    assert choice == 1


def test_the_last_rung_decides():
    assert played([96] * 4, lambda rung, c: [3.0, 1.0, 4.0, 2.0][c] if rung == 0 else -c)[1] == 3


def test_each_is_tried_for_the_same_share_of_its_own_length():
    made, _ = played([100, 400], lambda rung, c: c)
    assert made == [(0, 0, 80), (0, 1, 320)]


@pytest.mark.parametrize("updates", [[50, 50], [50, 50, 50], [700] * 9, [100, 30, 900, 30], [60, 61] * 3])
def test_a_search_costs_no_more_than_the_longest_run(updates):
    made, choice = played(updates, lambda rung, c: (c * 7) % 5)
    assert sum(n for *_, n in made) <= budget(updates) == max(updates)
    assert choice is not None
    assert {r for r, _, _ in made} == set(range(rungs(len(updates))))
    assert len(made) == trials(len(updates))
    by_rung = [sum(r == rung for r, _, _ in made) for rung in range(rungs(len(updates)))]
    assert by_rung[0] == len(updates)
    assert all(later == math.ceil(sooner / 2) for sooner, later in pairwise(by_rung))


def test_equal_losses_and_those_that_diverged():
    assert played([80] * 4, lambda rung, c: 1.0)[1] == 0
    assert played([80] * 4, lambda rung, c: math.inf if c < 3 else 9.0)[1] == 3
    assert played([80] * 4, lambda rung, c: math.inf)[1] is None


def test_a_search_goes_on_from_what_is_known():
    done = {(0, 0): 1.0, (0, 1): 2.0, (0, 3): 3.0}
    assert [t.candidate for t in standing([96] * 4, done).open] == [2]


def test_settings_are_all_combinations():
    search = Search(lr=[1e-3, 1e-4], steps=[20, 40])
    assert search.candidates == [
        {"lr": 1e-3, "steps": 20}, {"lr": 1e-3, "steps": 40}, {"lr": 1e-4, "steps": 20}, {"lr": 1e-4, "steps": 40},
    ]  # fmt: skip
    assert search.longest == {"lr": 1e-3, "steps": 40}
    assert Search(lr=[1e-3, 1e-4]).candidates == [{"lr": 1e-3}, {"lr": 1e-4}]


def recipe(**keys):
    arm = {"data": "docs", "train": keys.pop("own", {})}
    return Recipe(model="m", data={"docs": {"path": "x", "validation": 0.1}}, arms={"a": arm}, **keys)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"search": {}}, "search needs at least two settings"),
        ({"search": {"lr": [1e-3]}}, "search needs at least two settings"),
        ({"search": {"lr": [1e-3, 1e-3]}}, "search.lr names a value twice"),
        ({"search": {"lr": [1e-3, 2]}}, "search.lr"),
        ({"search": {"rate": [1, 2]}}, "unknown key 'search.rate'"),
        ({"search": {"lr": [1e-3, 1e-4]}, "train": {"lr": 1e-3}}, "train.lr is set, and search chooses it"),
        ({"search": {"lr": [1e-3, 1e-4]}, "own": {"lr": 1e-3}}, "arms.a: train.lr is set, and search chooses it"),
        ({"search": {"steps": [9, 8]}, "own": {"epochs": 2}}, "arms.a: train.epochs is set, and search chooses it"),
    ],
)
def test_refused(keys, said):
    with pytest.raises(UserError) as error:
        recipe(**keys)
    assert said in error.value.message


def test_before_anything_is_chosen_a_stage_is_as_long_as_it_may_be():
    made = recipe(search={"lr": [1e-3, 1e-4], "steps": [20, 40]})
    found = made.training(made.arms["a"].stages[0])
    assert (found.lr, found.steps) == (1e-3, 40)


def equal_arms(trials: int, seeds: int, spread: float, noise: float, together: bool, items: int = 80) -> float:
    """How often two arms that are one method seem to differ, when each has chosen among four settings.

    Settings differ by `spread` (standard deviation) in truth, and a training's validation loss by `noise` from the
    truth; seeds and arms search apart, or (`together`) an arm searches once, for all of its seeds. A training's test
    score has the deviation 0.02, and its items are drawn.
    """
    rng, false = np.random.default_rng(5), 0
    for trial in range(trials):
        truth = rng.normal(scale=spread, size=4)
        hard, cells = rng.random(items), {}
        for arm in ("a", "b"):
            found = []
            for seed in range(seeds):
                if not seed or not together:
                    seen = rng.normal(scale=noise, size=(2, 4)) - truth
                    choice = played([96] * 4, lambda rung, c, seen=seen: seen[rung, c])[1]
                better = 0.5 + truth[choice] + rng.normal(scale=0.02)
                found.append(0.9 * hard + 0.1 * rng.random(items) < better)
            cells[arm, "t"] = [lambda w, right=right: (w * right).sum(-1) / w.sum(-1) for right in found]
        scores = {arm: e for (arm, _), e in bootstrap(cells, {"t": items}, seeds, 400, rng=trial).items()}
        verdict = reach(scores, "a", 0.95, untrained=(), seeds=seeds, items=items, floor=None)
        false += verdict["clear"]
    return false / trials


def test_equal_arms_that_have_searched_rarely_seem_to_differ():
    """At most one comparison in twenty; were an arm to search once for all its seeds, it would be more by much."""
    assert equal_arms(120, 3, 0.0, 0.05, together=False) <= 0.05
    assert equal_arms(120, 3, 0.05, 0.2, together=False) <= 0.05
    assert equal_arms(60, 3, 0.05, 0.2, together=True) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.02, 0.05, 0.15])
@pytest.mark.parametrize("noise", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("seeds", [3, 5])
def test_error_rates_of_equal_arms_that_have_searched(spread, noise, seeds):
    assert equal_arms(1000, seeds, spread, noise, together=False) <= 0.05
