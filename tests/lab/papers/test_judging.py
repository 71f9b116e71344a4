"""Verdicts from intervals and margins: what holds, what fails, what is not shown, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from contextune.evaluate.analysis.statistics import Estimate
from contextune_lab.mechanism.regression.presets import PRESETS
from contextune_lab.mechanism.regression.results import SeedValue
from contextune_lab.papers import cft_synthetic
from contextune_lab.papers.augmented_claims import claims as augmented_claims
from contextune_lab.papers.claims import Claim, tally
from contextune_lab.papers.comparison import ControlledComparison
from contextune_lab.papers.judging import (
    CEILING,
    MARGIN,
    Judgement,
    above,
    at_least,
    at_most,
    claim,
    given,
    near,
    no_more,
    not_worse,
    together,
)

from .test_claims import FakeComparison


def known(value: float, half: float) -> Estimate:
    """An estimate whose 95 % interval is `value` ± `half`."""
    return Estimate(value, value + half / 0.95 * np.linspace(-1, 1, 2001))


ZERO = known(0.5, 0.0)


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.6, 0.05, "holds"),
        (0.6, 0.2, "not shown"),
        (0.5, 0.001, "not shown"),
        (0.5, 0.0, "not shown"),
        (0.4, 0.2, "not shown"),
        (0.4, 0.05, "fails"),
    ],
)
def test_above(value, half, verdict):
    found = above(known(value, half), ZERO)
    assert found.verdict == verdict
    assert f"{value - 0.5:+.3f}" in found.why


@pytest.mark.parametrize("value", np.linspace(0.2, 0.8, 7))
@pytest.mark.parametrize("half", [0.0, 0.01, 0.1, 0.4])
def test_an_interval_that_holds_zero_is_never_a_failure(value, half):
    holds_zero = abs(value - 0.5) <= half
    for judge in (above, not_worse, lambda e, other: above(e, other, 0.1)):
        assert (judge(known(value, half), ZERO).verdict == "fails") <= (not holds_zero)


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.5, MARGIN / 2, "holds"),
        (0.48, 0.005, "holds"),
        (0.5, 2 * MARGIN, "not shown"),
        (0.46, 0.02, "not shown"),
        (0.44, 0.02, "fails"),
        (0.6, 0.4, "not shown"),
    ],
)
def test_as_good_as_is_not_worse_by_more_than_the_margin(value, half, verdict):
    assert not_worse(known(value, half), ZERO).verdict == verdict


@pytest.mark.parametrize("value", [0.0, 0.02, 0.5])
def test_what_is_at_zero_cannot_be_lost(value):
    """Two arms that learned nothing are not as good as one another; two that copy nothing copy no more."""
    none = known(0.0, 0.0)
    assert not_worse(known(value, 0.0), none).verdict == "not testable"
    assert "at zero" in not_worse(known(value, 0.0), none).why
    assert no_more(none, known(value, 0.0)).verdict == "holds"
    assert no_more(known(0.5, 0.0), none).verdict == "fails"


def test_noise_never_makes_as_good_as_easier():
    """It did with "within one standard error": the noisier, the more often it held."""
    order = ["not shown", "holds"]
    found = [order.index(not_worse(known(0.49, half), ZERO).verdict) for half in (0.0, 0.01, 0.03, 0.1, 0.5)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert found[-1] == 0


@pytest.mark.parametrize("half", [0.0, 0.05])
@pytest.mark.parametrize("value", [0.5, 0.97, 1.0])
def test_nothing_can_be_shown_to_lie_above_a_ceiling(value, half):
    found = above(known(value, half), known(CEILING, 0.01))
    assert found.verdict == "not testable"
    assert "ceiling" in found.why


@pytest.mark.parametrize(
    ("judged", "verdict"),
    [
        (at_least(known(0.95, 0.02), 0.9), "holds"),
        (at_least(known(0.91, 0.02), 0.9), "not shown"),
        (at_least(known(0.8, 0.02), 0.9), "fails"),
        (at_most(known(0.2, 0.02), 0.25), "holds"),
        (at_most(known(0.26, 0.02), 0.25), "not shown"),
        (at_most(known(0.3, 0.02), 0.25), "fails"),
        (near(known(0.5, 0.02), 0.5), "holds"),
        (near(known(0.5, 0.2), 0.5), "not shown"),
        (near(known(0.6, 0.02), 0.5), "fails"),
        (near(known(0.4, 0.02), 0.5), "fails"),
        (at_least(Estimate(1.0, np.empty(0)), 0.9), "not shown"),
    ],
)
def test_bars_and_levels(judged, verdict):
    assert judged.verdict == verdict


def test_a_conjunction_fails_with_any_part_and_holds_with_all():
    parts = {v: Judgement(v, v) for v in ("holds", "not shown", "not testable", "fails")}
    assert together(parts).verdict == "fails"
    assert together({k: parts[k] for k in ("holds", "not shown")}).verdict == "not shown"
    assert together({"a": parts["holds"], "b": parts["holds"]}).verdict == "holds"


def test_what_follows_from_premises_waits_for_them():
    held = Judgement("holds", "")
    assert given(at_least(known(0.95, 0.01), 0.9), "the premises", held) == held
    gated = given(at_least(known(0.505, 0.05), 0.9), "the premises", held)
    assert gated.verdict == "not testable"
    assert "0.505" in gated.why


@pytest.mark.parametrize(("premise", "verdict"), [(0.505, "not testable"), (0.97, "holds")])
def test_syllogisms_are_judged_where_premises_were_learned(premise, verdict):
    values = {("*", "premise"): premise, ("finetuned", "conclusion"): 0.5, ("augmented", "conclusion"): 0.95}
    values |= {("untrained", "conclusion_in_context"): 0.7}
    results = {"arms": {}, "floors": {"tasks": {"conclusion": {"chance": 1 / 3, "constant": 0.35}}}}
    every = dict.fromkeys(
        ("reversal", "descriptions", "syllogism", "semantic"),
        ControlledComparison(FakeComparison(values, results=results)),
    )
    made = {c.id: c for c in augmented_claims(every, {}, 5)}
    gated = ("syllogism.finetuned", "syllogism.in_context", "syllogism.augmented")
    assert {made[i].verdict for i in gated} == {verdict}
    assert "0.35" in made["syllogism.finetuned"].paper
    assert made["semantic.recall.finetuned"].verdict == "fails", "recall, not rephrasing, is what was learned"


def test_claims_of_a_paper_and_our_own_are_counted_apart():
    made = [
        Claim("a", "", 1.0, None, 5, "holds"), Claim("b", "", 1.0, None, 5, "holds"),
        Claim("c", "", 1.0, None, 5, "not shown"), Claim("d", "", 1.0, None, 5),
        Claim("e", "", 1.0, None, 5, "fails", whose="ours"), Claim("f", "", None, None, 0, "not testable"),
    ]  # fmt: skip
    assert tally(made, "paper") == "2 hold, 1 is not shown, 1 cannot be tested here"
    assert tally(made, "ours") == "1 fails"
    assert tally([], "paper") == ""


def test_a_claim_without_a_judgement_is_only_measured():
    assert claim("a", "", ZERO, 5).verdict == "measured"
    assert claim("a", "", ZERO, 5, at_least(ZERO, 0.4), "ours").whose == "ours"


class TestBases:
    def test_there_are_at_least_five(self):
        assert {p.bases for p in PRESETS.values()} == {5}

    def test_two_models_are_not_five_seeds(self):
        """Five seeds over two pretrained models that differ: the interval is that of two values."""
        values = (0.1, 0.9, 0.12, 0.88, 0.11)
        assert SeedValue(values).interval[1] - SeedValue(values).interval[0] < 1.2
        low, high = SeedValue(values, (0, 1, 0, 1, 0)).interval
        assert high - low > 9

    def test_a_difference_keeps_its_bases(self):
        paired = SeedValue((0.2, 1.0), (0, 0)) - SeedValue((0.1, 0.9), (0, 0))
        assert paired.interval is None
        assert paired.sign == 0

    @pytest.mark.parametrize(
        ("by_seed", "better", "verdict"),
        [
            ((0.5, 0.6, 0.55), 1, "holds"),
            ((0.5, 0.6, 0.55), -1, "fails"),
            ((-0.5, 0.6, 0.05), 1, "not shown"),
            ((0.5,), 1, "not shown"),
        ],
    )
    def test_verdicts_are_three(self, by_seed, better, verdict):
        assert cft_synthetic._decided(SeedValue(by_seed), better) == verdict
