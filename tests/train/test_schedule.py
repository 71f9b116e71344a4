"""The order of training is a pure function of the seed, covers every record once an epoch, and never drops one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from contextune.train.schedule import Plan


def test_golden_order():
    plan = Plan.of(rows=5, batch=2, seed=0, epochs=2)
    assert plan.updates == 5
    assert [plan.update(t) for t in range(5)] == [
        [(0, 1), (0, 4)],
        [(0, 3), (0, 2)],
        [(0, 0), (1, 1)],
        [(1, 3), (1, 2)],
        [(1, 4), (1, 0)],
    ]


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 3), st.integers(1, 4))
def test_each_epoch_has_each_row_once(rows, batch, seed, epochs):
    plan = Plan.of(rows, batch, seed, epochs)
    drawn = [pair for t in range(plan.updates) for pair in plan.update(t)]
    assert Counter(drawn) == {(e, r): 1 for e in range(epochs) for r in range(rows)}


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 20))
def test_steps_give_full_updates(rows, batch, steps):
    plan = Plan.of(rows, batch, 0, steps=steps)
    assert plan.updates == steps
    assert {len(plan.update(t)) for t in range(steps)} == {batch}


def test_epochs_and_seeds_differ():
    plan, other = Plan.of(50, 50, 0, 2), Plan.of(50, 50, 1, 2)
    first, second = [r for _, r in plan.update(0)], [r for _, r in plan.update(1)]
    assert first != second
    assert first != [r for _, r in other.update(0)]
