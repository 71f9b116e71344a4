"""When a winner may be called clear: seeds, a stated deviation, and the price of having been selected."""

from __future__ import annotations

import numpy as np
import pytest

from contextune.evaluate.analysis import verdict
from contextune.evaluate.analysis.statistics import Estimate, bootstrap
from tests.evaluate.test_statistics import share

NINE = [f"arm-{i}" for i in range(9)]


def reach(scores, seeds=5, baseline=None, untrained=(), **more):
    first = next(iter(scores))
    return verdict.reach(
        scores, baseline or first, 0.95, untrained=untrained, seeds=seeds, items=40, floor=None, **more
    )


def normal(values, sd=0.01, n=20000):
    rng = np.random.default_rng(0)
    return {arm: Estimate(v, v + sd * rng.standard_normal(n)) for arm, v in values.items()}


@pytest.mark.parametrize(
    ("seeds", "stated", "clear"), [(1, False, False), (2, False, False), (3, False, True), (1, True, True)]
)
def test_clear_needs_three_seeds_or_a_stated_deviation(seeds, stated, clear):
    found = reach(normal({"a": 0.5, "b": 0.9}), seeds, stated=stated)
    assert (found["winner"], found["clear"], found["enough_seeds"]) == ("b", clear, clear)
    assert found["sentence"].startswith("b is ahead of a by 40.0 points")
    why = "On fewer than 3 seeds no arm is called clearly better, unless compare.seed_sd is stated."
    assert (why in found["notes"]) != clear


def test_why_is_said_only_where_seeds_are_what_is_missing():
    assert not any("fewer than 3" in n for n in reach(normal({"a": 0.5, "b": 0.501}), 1)["notes"])


def test_two_untrained_arms_have_no_seeds_to_lack():
    assert reach(normal({"a": 0.5, "b": 0.9}), 1, untrained=["a", "b"])["clear"]
    assert not reach(normal({"a": 0.5, "b": 0.9}), 1, untrained=["a"])["clear"]


@pytest.mark.parametrize(("arms", "deviations"), [(2, 1.96), (3, 2.24), (9, 2.73)])
def test_a_lead_is_corrected_for_the_arms_that_might_have_led(arms, deviations):
    """Bonferroni's factor of the standard error, on both sides."""
    scores = normal({f"arm-{i}": 0.5 for i in range(arms - 1)} | {"won": 0.6}, n=200000)
    found = reach(scores)
    low, high = found["interval"]
    assert (high - low) / 2 / (0.01 * np.sqrt(2)) == pytest.approx(deviations, rel=0.03)
    assert found["comparisons"] == arms - 1
    assert (f"corrected for {arms - 1} comparisons" in found["aside"]) == (arms > 2)


def test_the_lead_over_the_baseline_is_corrected_too():
    scores = normal({"base": 0.5, "x": 0.527, "y": 0.5271})
    over = next(n for n in reach(scores)["notes"] if n.startswith("Over the baseline base"))
    low = float(over.split("(")[1].split(" to ")[0])
    assert low < 0 < 2.71 - 100 * 1.96 * 0.01 * np.sqrt(2) + 0.2


def equal_arms(seeds: int, seed_sd: float, trials: int, arms: int = 9, items: int = 60) -> dict[str, float]:
    """How often, among equal arms, the winner's lead over the runner-up and over the first arm excludes zero, with the
    correction and without.
    """
    rng, names = np.random.default_rng(3), NINE[:arms]
    counts = dict.fromkeys(("clear", "over the first", "over the first, uncorrected"), 0)
    for trial in range(trials):
        hard, seed = rng.random(items), rng.normal(scale=seed_sd, size=(arms, seeds, 1))
        right = 0.85 * hard + 0.15 * rng.random((arms, 1, items)) < 0.6 + seed  # an arm has items of its own
        cells = {(arm, "t"): [share(row) for row in of] for arm, of in zip(names, right, strict=True)}
        scores = {arm: e for (arm, _), e in bootstrap(cells, {"t": items}, seeds, 800, rng=trial).items()}
        found = reach(scores, seeds, stated=True)
        counts["clear"] += found["clear"]
        lead = scores[found["winner"]] - scores[names[0]]
        for name, level in (("over the first", 1 - 0.05 / (arms - 1)), ("over the first, uncorrected", 0.95)):
            low, _ = lead.interval(level)
            counts[name] += low > 0
    return {name: n / trials for name, n in counts.items()}


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (5, 0.05)])
def test_nine_equal_arms_rarely_have_a_winner(seeds, seed_sd):
    """The share of false leads: at most 2.5 % to one side, and more by much without the correction."""
    rates = equal_arms(seeds, seed_sd, 100)
    assert rates["clear"] <= 0.025
    assert rates["over the first"] <= 0.04
    assert rates["over the first, uncorrected"] > 2 * rates["over the first"]


@pytest.mark.slow
@pytest.mark.parametrize("seed_sd", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("seeds", [3, 5])
def test_error_rates_of_nine_equal_arms(seeds, seed_sd):
    rates = equal_arms(seeds, seed_sd, 2000)
    assert rates["clear"] <= 0.01
    assert rates["over the first"] <= 0.03
