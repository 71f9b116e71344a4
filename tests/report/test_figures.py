from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.report import figures, numbers, read
from contextune.report.looks import ArmLook

from . import folder as made

ARM = ArmLook("cft", "a0")
finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 6))


@given(st.lists(finite, min_size=1), st.booleans())
def test_an_axis_holds_all_values_between_round_ends(values: list[float], zero: bool) -> None:
    scale = figures.axis(values, zero)
    slack = 1e-8 * (scale.high - scale.low)  # a round end is not left for the sake of a billionth
    assert scale.low <= min(values) + slack
    assert scale.high >= max(values) - slack
    assert not zero or scale.low <= 0 <= scale.high
    assert 2 <= len(scale.marks) <= 8
    assert all(0 <= scale.at(v) <= 100 for v in values)
    assert (scale.at(scale.low), scale.at(scale.high)) == (0, 100)


def test_axes_by_hand() -> None:
    assert figures.axis([0.346, 0.515]).ticks == [(0.0, "0.0"), (33.333, "0.2"), (66.667, "0.4"), (100.0, "0.6")]
    assert [t for _, t in figures.axis([-0.119, 0.069]).ticks] == ["−0.15", "−0.10", "−0.05", "0.00", "0.05", "0.10"]
    assert [t for _, t in figures.axis([4321.0]).ticks] == ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]
    assert figures.axis([]).marks[0] == 0
    assert figures.axis([0.0]).high > 0


def test_a_bar_starts_at_zero_even_where_values_are_negative() -> None:
    (mark,) = figures.bars([(ARM, -0.1, [-0.2, 0.3])], {"chance": 0.1}).marks
    assert (mark.start, mark.at, mark.low, mark.high) == (40.0, 20.0, 0.0, 100.0)


def test_a_forest_has_zero_inside_and_says_what_is_clear() -> None:
    chart = figures.forest(
        [(ARM, 0.05, [0.01, 0.09]), (ARM, 0.05, [-0.01, 0.11]), (ARM, 0.05, [0.0, 0.1]), (ARM, 0.05, None)]
    )
    assert [m.clear for m in chart.marks] == [True, False, False, False]
    assert [m.text for m in chart.marks] == ["+0.050"] * 4
    positive = figures.forest([(ARM, 0.05, [0.01, 0.09])])
    assert 0 < positive.refs[0][2] < positive.marks[0].low


def test_curves_are_means_over_bins_and_seeds(tmp_path: Path) -> None:
    assert figures.thin([(1, 4.0), (2, 2.0), (3, 1.0)], 2) == [(2, 3.0), (3, 1.0)]
    assert figures.mean([[(1, 2.0), (2, 1.0)], [(1, 4.0)]]) == [(1, 3.0), (2, 1.0)]
    for stage in (0, 1):
        for seed in (0, 1):
            made.losses(tmp_path / f"arms/two.stages/seed-{seed}/stage-{stage}", "cft", seed, 300)
    made.dump(tmp_path / "run.json", {})
    (arm,) = read.read(tmp_path).training.values()
    assert [t.ends for t in arm.values()] == [(300, 600)] * 2
    assert arm[0].seconds == pytest.approx(2 * 300 * 0.31)
    curves = figures.curves([(ARM, arm)])
    assert curves is not None
    assert (curves.width, curves.x.high, curves.panels[0].ends) == (4, 600.0, (50.0,))
    assert [len(line.split()) for line in (*curves.panels[0].seeds, curves.panels[0].mean)] == [150] * 3


def test_losses_far_apart_get_a_logarithmic_axis() -> None:
    scale = figures._loss_axis([0.03, 11.0])
    assert (scale.log, scale.low, scale.high) == (True, 0.02, 20.0)
    assert scale.at(math.sqrt(0.02 * 20)) == 50.0
    assert not figures._loss_axis([2.0, 11.0]).log
    assert not figures._loss_axis([0.0, 11.0]).log


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.71349, "0.713"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (12345.6, "12,346"),
        (7, "7"),
        (12345, "12,345"),
        (-0.0131, "−0.013"),
        (-0.0001, "0.000"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        ("text", "text"),
    ],
)
def test_numbers(value: object, text: str) -> None:
    assert numbers.num(value) == text


def test_signs_intervals_and_times() -> None:
    assert [numbers.signed(x) for x in (0.054, -0.054, 0.0, 0.0001, None)] == [
        "+0.054",
        "−0.054",
        "0.000",
        "0.000",
        "–",
    ]
    assert numbers.between([0.1, -0.2], sign=True) == "[+0.100, −0.200]"
    assert [numbers.between(x) for x in (None, [1], [0.1, float("nan")], "ab")] == [""] * 4
    assert [numbers.duration(x) for x in (8.44, 200, 7500, None)] == ["8.4 s", "3 min 20 s", "2 h 05 min", "–"]
