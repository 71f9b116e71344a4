"""What resists: right behind the context, of the items right without it."""

from __future__ import annotations

import numpy as np
import pytest

from contextune.core.items import Item, Task
from contextune.evaluate import metrics
from contextune.evaluate.scoring.floors import floors
from contextune.evaluate.scoring.score import score


def outcomes(rows):
    """Rows of (right behind the context, right without it)."""
    n = len(rows)
    return {
        "item": [str(i) for i in range(n)],
        "kind": ["generate"] * n,
        "options": [[]] * n,
        "sums": [[]] * n,
        "tokens": [[]] * n,
        "bytes": [[]] * n,
        "gold": ["Mido"] * n,
        "output": ["Mido" if behind else "Rune" for behind, _ in rows],
        "deaf": [alone for _, alone in rows],
    }


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([(1, 1.0), (0, 1.0), (1, 1.0), (1, 1.0)], 3 / 4),
        ([(1, 1.0), (0, 0.0), (1, 0.0), (0, 1.0)], 1 / 2),  # what was wrong without it does not count, right or wrong
        ([(1, 0.0), (0, 0.0)], 0.0),  # nothing was right without it
        ([(1, None), (0, None)], 1 / 2),  # no context: the share of right answers
    ],
)
def test_of_those_right_without_the_context(rows, value):
    assert metrics.evaluate(outcomes(rows), "kept") == pytest.approx(value)


def test_resamples_without_a_known_item_are_zero_and_not_missing():
    of = metrics.find("kept").of(outcomes([(1, 1.0), (1, 0.0)]))
    assert of(np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])).tolist() == [1.0, 1.0, 0.0]


def test_the_share_of_right_answers_stands_beside_it():
    found = metrics.summary(outcomes([(1, 1.0), (0, 1.0), (1, 0.0)]), "kept")
    assert found["kept"] == 1 / 2
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert "kept" not in metrics.summary(outcomes([(1, 1.0)]), "exact_match")


def items():
    return tuple(Item(str(i), f"Rune helps Seke.\nKalo{i} helps", "Mido", alone=f"Kalo{i} helps") for i in range(3))


def test_every_item_is_asked_again_though_the_recipe_saves_it(model, byte_level):
    for metric, asked in (("kept", True), ("exact_match", False)):
        task = Task("t", "generate", items(), metric, "resist", 0.0, 2)
        found = score(model, byte_level, [task], arm="a", seed=0, without_context=False)["t"].to_pydict()
        assert [d is not None for d in found["deaf"]] == [asked] * 3


def test_a_copier_is_right_where_the_distractor_is_the_answer():
    assert floors(Task("t", "generate", items(), "kept", "resist", 0.0, 2, (".",)))["copier"] == 0
