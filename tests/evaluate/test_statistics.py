from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

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


def test_without_noise_of_items_it_is_students_interval():
    """Seed means alone differ: what a t interval over seeds says, whatever their number."""
    for levels in ([0.2, 0.6], [0.2, 0.3, 0.7], [0.1, 0.5, 0.4, 0.4, 0.8]):
        cells = {("a", "t"): [share([level] * 9) for level in levels]}
        found = bootstrap(cells, {"t": 9}, len(levels), 20000)["a", "t"].interval(0.9)
        exact = stats.t.interval(0.9, len(levels) - 1, np.mean(levels), stats.sem(levels))
        assert found == pytest.approx(exact, abs=0.05 * (exact[1] - exact[0]))


def test_the_variance_is_the_sum_of_both():
    """Var = s²(seed means)/S · (S-1)/(S-3), of Student's t, + var(item means)/n + rest/(S n)."""
    rng = np.random.default_rng(1)
    seeds, items = 12, 40
    table = rng.normal(size=(seeds, 1)) + rng.normal(size=(1, items)) + rng.normal(size=(seeds, items))
    draws = bootstrap({("a", "t"): [share(row) for row in table]}, {"t": items}, seeds, 8000)["a", "t"].draws
    expected = table.mean(1).var(ddof=1) / seeds * (seeds - 1) / (seeds - 3) + table.mean(0).var() / items
    assert draws.var() == pytest.approx(expected, rel=0.06)


def test_arms_trained_from_the_same_seeds_are_paired():
    """What a seed adds to both arms cancels, however few the seeds."""
    cells = {("a", "t"): [share([x] * 5) for x in (0.1, 0.9)], ("b", "t"): [share([x] * 5) for x in (0.15, 0.95)]}
    found = bootstrap(cells, {"t": 5}, 2)
    assert (found["b", "t"] - found["a", "t"]).interval(0.95) == pytest.approx([0.05, 0.05])


def test_a_stated_deviation_takes_the_place_of_the_seeds_own():
    cells = {("a", "t"): [share([0.5] * 4)], ("b", "t"): [share([0.4] * 4), share([0.6] * 4)]}
    stated = {("a", "t"): 0.1, ("b", "t"): 0.1}
    found = bootstrap(cells, {"t": 4}, 2, 20000, seed_sd=stated)
    assert [found[arm, "t"].draws.std() for arm in "ab"] == pytest.approx([0.1 / np.sqrt(2)] * 2, rel=0.03)
    alone = bootstrap({("a", "t"): [share([0.5] * 4)]}, {"t": 4}, 1, 20000, seed_sd={("a", "t"): 0.1})
    assert alone["a", "t"].draws.std() == pytest.approx(0.1, rel=0.03)


class TestClusters:
    """Items of one fact come and go together, in whatever task."""

    def draws(self, clusters, **arms):
        cells = {("a", t): [share(values)] for t, values in arms.items()}
        items = {t: len(values) for t, values in arms.items()}
        return {t: e.draws for (_, t), e in bootstrap(cells, items, 1, 1000, clusters=clusters).items()}

    def test_tasks_over_the_same_facts_move_together(self):
        right = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
        drawn = self.draws({"x": "abcdef", "y": "fedcba"}, x=right, y=right[::-1])
        assert (drawn["x"] == drawn["y"]).all()

    def test_several_items_of_one_fact(self):
        """Two facts asked five times each are two things to draw from, not ten."""
        drawn = self.draws({"x": "aaaaabbbbb"}, x=[0.0] * 5 + [1.0] * 5)
        assert set(drawn["x"]) == {0.0, 0.5, 1.0}

    def test_tasks_that_share_nothing_are_drawn_apart(self):
        rng = np.random.default_rng(0)
        x, y = rng.random(50), rng.random(50)
        drawn = self.draws({"x": range(50), "y": range(50, 100)}, x=x, y=y)
        assert abs(np.corrcoef(drawn["x"], drawn["y"])[0, 1]) < 0.1
        assert (drawn["x"] == self.draws(None, x=x, y=y)["x"]).all()

    def test_a_third_task_joins_two(self):
        drawn = self.draws({"x": "abcd", "y": "efgh", "z": "defg"}, x=[0, 1, 0, 1], y=[1, 0, 1, 0], z=[1, 1, 0, 0])
        assert len({len(d) for d in drawn.values()}) == 1
        assert all(np.isfinite(d).all() for d in drawn.values())

    def test_a_resample_that_holds_no_item_of_a_task_is_left_out(self):
        drawn = self.draws({"x": range(40), "y": [0]}, x=[0.0, 1.0] * 20, y=[1.0])
        assert set(drawn["y"]) == {1.0}
        assert 500 < len(drawn["x"]) < 760  # of 1000, 1 - 1/e


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
    low, high = only_seeds.interval(0.95)
    assert high - low > 10, "two seeds tell next to nothing"
    cells = {("a", "t"): [share([1.0]), share([0.0])], ("b", "t"): [share([0.5])]}
    bounded = bootstrap(cells, {"t": 1}, 2, bounds={"t": (0.0, 1.0)})
    assert bounded["a", "t"].interval(0.95) == [0.0, 1.0]
    assert (bounded["a", "t"] - bounded["b", "t"]).interval(0.95) == [-1.0, 1.0]
    assert mean(list(bounded.values())).bounds == (0.0, 1.0)


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


def coverage(seeds: int, seed_sd: float, trials: int, shared: bool = True, items: int = 60) -> float:
    """How often the 95 % interval of an arm's mean over three tasks, each asking the same facts in another wording,
    holds the true mean. An item is right where a fact is easier than the seed's model is weak; wordings add a little.
    """
    rng = np.random.default_rng(7)
    names, hits, truth = ("x", "y", "z"), 0, 0.6
    for trial in range(trials):
        hard, seed = rng.random(items), rng.normal(scale=seed_sd, size=(seeds, 1))
        cells = {
            ("a", t): [share(row) for row in 0.97 * hard + 0.03 * rng.random((seeds, items)) < truth + seed]
            for t in names
        }
        clusters = {t: range(items) for t in names} if shared else None
        found = bootstrap(cells, dict.fromkeys(names, items), seeds, 400, rng=trial, clusters=clusters)
        low, high = mean([found["a", t] for t in names]).interval(0.95)
        hits += low <= truth <= high
    return hits / trials


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (3, 0.04), (5, 0.01)])
def test_coverage_of_a_mean_over_tasks_that_share_their_facts(seeds, seed_sd):
    assert coverage(seeds, seed_sd, 400) >= 0.93


def test_drawn_apart_they_would_not_be_covered():
    assert coverage(5, 0.01, 100, shared=False) < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("seed_sd", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_coverage_with_few_seeds_and_many(seeds, seed_sd):
    """Percentiles of 60 clusters hold the truth in some 94.3 %, which 5,000 trials tell within 0.3."""
    assert coverage(seeds, seed_sd, 5000) >= 0.93
