"""Feedback streams in: neighbours gain, the rest stays as it was; what is scored is not scored again."""

from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate import adaptation
from contextune.evaluate.tasks.examples import Example
from contextune.evaluate.tasks.graded import PooledTask
from contextune.evaluate.tasks.specs import Graded


@pytest.fixture
def bench() -> PooledTask:
    pool = tuple(Example(f"e{i}", f"a b c{i}", f"Q a b c{i} A", f"y{i}") for i in range(8))
    pool += tuple(Example(f"f{i}", f"k l{i} m{i}", f"Q k l{i} A", f"z{i}") for i in range(8))
    items = (
        Item("near", "Q a b d A", "y", (), {"input": "a b d"}),
        Item("far", "Q q r s A", "z", (), {"input": "q r s"}),
    )
    return PooledTask(Task("t", "generate", items, "exact_match"), pool, Graded(k=2))


def reads(task: Task) -> list[float]:
    """A model that answers right where a similar example is shown."""
    return [float("a b c" in item.prompt) for item in task.items]


def test_neighbours_gain(bench, tmp_path):
    found = adaptation.stream(bench, 2 / 3)
    made = adaptation.run(found, [0, 16], reads, tmp_path)
    assert made["items"] == {"neighbours": 1, "rest": 1}
    assert made["readings"] == [
        {"feedback": 0, "neighbours": 0, "rest": 0},
        {"feedback": 16, "neighbours": 1, "rest": 0.0 if "a b c" not in found.at(16).items[1].prompt else 1.0},
    ]
    assert found.at(0).items[0].prompt == "Q a b d A"
    assert found.at(16).items[0].prompt.count("Q a b c") == 2, "the k nearest"
    assert found.at(5).items[0].fields["examples"], "the nearest of what has come so far"
    assert set(found.at(5).items[0].fields["examples"]) <= {e.id for e in found.bench.pool[:5]}

    def refuse(task):
        raise AssertionError("scored already")

    assert adaptation.run(found, [0, 16], refuse, tmp_path) == made
    assert "neighbours (1)" in adaptation.figure(made)


def test_sizes():
    assert adaptation.sizes_of(100) == [0, 16, 64, 100]
    assert adaptation.sizes_of(9) == [0, 9]
    assert adaptation.sizes_of(9, [4, 0]) == [0, 4]
    with pytest.raises(UserError, match="sizes: 12, the pool has 9 examples"):
        adaptation.sizes_of(9, [12])


@pytest.mark.parametrize("near", [0.0, 1.5])
def test_near_is_a_similarity(bench, near):
    with pytest.raises(UserError, match="expected a similarity"):
        adaptation.stream(bench, near)
