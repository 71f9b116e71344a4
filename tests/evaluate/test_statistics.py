from __future__ import annotations

import numpy as np
import pytest

from contextune.evaluate.analysis.statistics import Estimate, bootstrap, mean


def share(values):
    """Accuracy, as metrics has it."""
    column = np.asarray(values, dtype=float)
    return lambda weights: weights @ column / weights.sum(-1)


def test_one_seed_is_the_bootstrap_over_items():
    rng = np.random.default_rng(0)
    values = rng.random(50) < 0.3
    found = bootstrap({("a", "t"): [share(values)]}, {"t": 50}, 1, 4000)["a", "t"]
    assert found.value == values.mean()
    assert found.draws.shape == (4000,)
    assert found.draws.mean() == pytest.approx(values.mean(), abs=0.005)
    assert found.draws.std() == pytest.approx(values.std() / np.sqrt(50), rel=0.05)
    low, high = found.interval(0.95)
    assert low < found.value < high


def test_seeds_and_items_both_vary():
    """Seed means 0.2 and 0.6 and no noise of items: what remains is the drawing of seeds alone."""
    cells = {("a", "t"): [share([0.2] * 9), share([0.6] * 9)]}
    draws = bootstrap(cells, {"t": 9}, 2, 4000)["a", "t"].draws
    levels, counts = np.unique(draws.round(6), return_counts=True)
    assert levels.tolist() == [0.2, 0.4, 0.6]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_variance_is_that_of_the_crossed_design():
    """Var = var(seed means)/S + var(item means)/n + rest/(S n), with population variances."""
    rng = np.random.default_rng(1)
    seeds, items = 6, 40
    table = rng.normal(size=(seeds, 1)) + rng.normal(size=(1, items)) + rng.normal(size=(seeds, items))
    draws = bootstrap({("a", "t"): [share(row) for row in table]}, {"t": items}, seeds, 8000)["a", "t"].draws
    of_seeds, of_items = table.mean(1).var(), table.mean(0).var()
    rest = table.var() - of_seeds - of_items
    expected = of_seeds / seeds + of_items / items + rest / (seeds * items)
    assert draws.var() == pytest.approx(expected, rel=0.06)


def test_arms_are_paired():
    rng = np.random.default_rng(2)
    hard = rng.random(60)
    cells = {(arm, "t"): [share(hard + gain)] for arm, gain in (("a", 0.0), ("b", 0.1))}
    found = bootstrap(cells, {"t": 60}, 1)
    difference = found["b", "t"] - found["a", "t"]
    assert difference.interval(0.95) == pytest.approx([0.1, 0.1])
    assert found["a", "t"].draws.std() > 0.02


def test_one_model_is_broadcast_over_seeds():
    cells = {("base", "t"): [share([1, 0, 1, 1])], ("a", "t"): [share([1, 0, 0, 1]), share([1, 0, 1, 1])]}
    found = bootstrap(cells, {"t": 4}, 2, 3000)
    assert found["base", "t"].value == 0.75
    assert found["base", "t"].draws.std() == pytest.approx(np.sqrt(0.75 * 0.25 / 4), rel=0.05)


def test_tasks_are_drawn_apart_and_averaged():
    rng = np.random.default_rng(3)
    cells = {("a", t): [share(rng.random(80) < 0.5)] for t in ("x", "y")}
    found = bootstrap(cells, {"x": 80, "y": 80}, 1, 4000)
    assert np.corrcoef(found["a", "x"].draws, found["a", "y"].draws)[0, 1] == pytest.approx(0, abs=0.06)
    both = mean([found["a", "x"], found["a", "y"]])
    assert both.value == (found["a", "x"].value + found["a", "y"].value) / 2
    assert both.draws.std() == pytest.approx(found["a", "x"].draws.std() / np.sqrt(2), rel=0.1)


def test_the_same_files_give_the_same_interval():
    cells = {("a", "t"): [share([0, 1, 1, 0, 1]), share([1, 1, 1, 0, 1])]}
    first, again = (bootstrap(cells, {"t": 5}, 2, 500)["a", "t"].draws for _ in range(2))
    assert (first == again).all()


def test_nothing_to_resample():
    found = bootstrap({("a", "t"): [share([1.0])]}, {"t": 1}, 1)["a", "t"]
    assert found.value == 1.0
    assert found.interval(0.95) is None
    only_seeds = bootstrap({("a", "t"): [share([1.0]), share([0.0])]}, {"t": 1}, 2)["a", "t"]
    assert only_seeds.interval(0.95) == [0.0, 1.0]


def test_confidence_sets_the_tails():
    draws = np.arange(1001) / 1000
    assert Estimate(0.5, draws).interval(0.9) == pytest.approx([0.05, 0.95])


@pytest.mark.parametrize(("seeds", "low", "high"), [(1, 0.91, 0.98), (8, 0.95, 1.0)])
def test_coverage(seeds, low, high):
    """A true difference of 0.08 is inside the 95 % interval as often as promised, with several seeds more often."""
    rng = np.random.default_rng(4)
    hits, trials, items, gain = 0, 150, 120, 0.08
    for trial in range(trials):
        hard = rng.normal(size=items)
        of_seed = rng.normal(scale=0.02 if seeds > 1 else 0.0, size=(2, seeds, 1))
        cells = {}
        for arm, (name, more) in enumerate((("a", 0.0), ("b", gain))):
            chance = 0.5 + more + of_seed[arm] + 0.1 * np.tanh(hard)
            cells[name, "t"] = [share(row) for row in rng.random((seeds, items)) < chance]
        found = bootstrap(cells, {"t": items}, seeds, 400, rng=trial)
        interval = (found["b", "t"] - found["a", "t"]).interval(0.95)
        hits += interval[0] <= gain <= interval[1]
    assert low <= hits / trials <= high
