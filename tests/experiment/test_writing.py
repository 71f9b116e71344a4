"""Seconds that a writer takes: formulas by hand, and requests of several arms counted once."""

from __future__ import annotations

import pytest

import contextune
from contextune.experiment import writing
from contextune.experiment.prepare import prepare
from contextune.experiment.writing import Pass, Speed, speed, steps


def test_speed_is_read_off_passes():
    passes = [Pass(4, 50, 2.0), Pass(4, 1, 0.40), Pass(4, 1, 0.50), Pass(4, 1, 0.9), Pass(1, 1, 0.2)]
    assert speed(passes) == Speed(pytest.approx(0.01), pytest.approx(0.2), pytest.approx(0.1), 4)
    assert speed(passes[:1]) == Speed(pytest.approx(0.01), pytest.approx(0.01), pytest.approx(0.01), 1)


def test_rows_beyond_those_tried_cost_as_much_as_read_tokens():
    rate = Speed(read=0.01, step=0.2, row=0.1, tried=4)
    assert rate.of(1) == pytest.approx(0.2)
    assert rate.of(4) == pytest.approx(0.5)
    assert rate.of(14) == pytest.approx(0.6)


def test_a_batch_costs_what_its_answers_are_long():
    """Of 1, 3 and 4 tokens the first are read; two rows, two rows, one row are left."""
    assert steps([1, 3, 4], Speed(0.0, 1.0, 0.5, 8)) == pytest.approx(1.5 + 1.5 + 1.0)
    assert steps([1, 1], Speed(0.0, 1.0, 0.5, 8)) == 0


def test_answers_that_did_not_end_get_the_mean():
    assert writing._lengths([4, 24, 8], [True, False, True], [64, 64, 64]) == [4, 42, 8]
    assert writing._lengths([24], [False], [64]) == [64]
    assert writing._lengths([24, 2], [False, True], [40, 40]) == [40, 2]


@pytest.fixture
def recipe(tiny, tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(f'{{"text": "w{i} w{i + 1} w{i + 2} w{i + 3}"}}\n' for i in range(12)))
    operation = {"operation": "rephrase", "max_tokens": 8}
    arm = {"data": "t", "augment": {"operations": [operation], "keep": True}}
    return {
        "model": str(tiny), "data": {"t": {"path": str(tmp_path / "t.jsonl")}}, "arms": {"a": arm, "b": arm},
        "train": {"steps": 6, "batch": 4, "max_length": 256}, "evaluate": {"tasks": [], "samples": 0},
        "output": str(tmp_path / "out"),
    }  # fmt: skip


def test_what_two_arms_ask_is_asked_once(recipe):
    prepared = prepare(recipe, plan=True)
    assert len(writing.pending(prepared)) == 12
    assert sum(len(ready[0].augmented.unasked) for ready in prepared.arms.values()) == 24


def test_check_tries_the_writer(recipe):
    assert contextune.check(recipe)["estimate"]["parts"]["writing"] > 0


def test_a_servers_requests_are_counted(recipe):
    recipe["writer"] = {"server": "http://127.0.0.1:9/v1", "name": "m", "concurrency": 4}
    assert writing.seconds(prepare(recipe, plan=True), None) == 12 * 2.0 / 4
