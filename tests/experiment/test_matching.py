"""compare.match: what is the same in every arm, and that without it nothing changes."""

from __future__ import annotations

import json

import pytest

from contextune.core.errors import UserError
from contextune.experiment.accounting import accounting
from contextune.experiment.preflight import reached
from contextune.experiment.prepare import prepare
from contextune.experiment.recipe import parse


@pytest.fixture
def totals(tmp_path, tiny):
    """By arm: updates, sequences and target tokens over them; `long` trains on twice the rows of twice the length."""
    for name, rows, words in (("short", 12, 8), ("long", 24, 16)):
        texts = [{"text": " ".join(f"w{(i * 7 + j) % 92}" for j in range(words + i % 3))} for i in range(rows)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, texts)))

    def totals(match=None, only=(), arms=None, **train):
        prepared = prepare(
            parse({
                "name": "matching", "model": str(tiny), "output": str(tmp_path / "out"),
                "data": {n: {"path": f"{n}.jsonl", "chunk": "none"} for n in ("short", "long")},
                "arms": arms or {"none": None, "plain": {"data": "short"}, "more": {"data": ["short", "long"]}},
                "train": {"max_length": 64, "batch": 4, **train}, "compare": {"match": match} if match else {},
            }), tmp_path, tmp_path / "out", only, plan=True,
        )  # fmt: skip
        found = {}
        for row in accounting(prepared):
            kept = found.setdefault(row["arm"], [row["updates"], row["sequences"], 0])
            kept[2] += row["learned"]
        return found, prepared

    return totals


@pytest.mark.parametrize(("match", "train"), [(None, {"steps": 9}), ("rows", {"steps": 9}), ("rows", {"epochs": 3})])
def test_rows(totals, match, train):
    found, _ = totals(match, **train)
    assert found["plain"][:2] == found["more"][:2] == [9, 36]
    assert found["more"][2] > 1.4 * found["plain"][2]


@pytest.mark.parametrize(
    ("match", "train"), [(None, {"epochs": 3}), ("passes", {"epochs": 3}), ("passes", {"steps": 9})]
)
def test_passes(totals, match, train):
    found, _ = totals(match, **train)
    assert found["plain"][:2] == [9, 36]
    assert found["more"][:2] == [27, 108]


@pytest.mark.parametrize("train", [{"steps": 40}, {"epochs": 10}])
def test_tokens(totals, train):
    """The same to within one update."""
    found, prepared = totals("tokens", **train)
    assert found["more"][0] < found["plain"][0]
    assert abs(found["more"][2] - found["plain"][2]) <= 4 * 20
    assert any("more: " in line and "(as many tokens as plain)" in line for line in reached(prepared))


def test_equal_arms_stay_as_they_are(totals):
    arms = {"plain": {"data": "short"}, "same": {"data": "short"}}
    plain, before = totals(None, arms=arms, epochs=2.3)
    for match in ("rows", "tokens", "passes"):
        found, after = totals(match, arms=arms, epochs=2.3)
        assert found == plain
        assert after.arms["same"][0].train == before.arms["same"][0].train


def test_a_control_has_a_matching_of_its_own(totals):
    arms = {"plain": {"data": "short"}, "more": {"data": "long"}, "control": {"data": "long", "match": "tokens"}}
    found, _ = totals(None, arms=arms, steps=40)
    assert found["more"][0] == found["plain"][0] == 40
    assert found["control"][0] < 30
    assert abs(found["control"][2] - found["plain"][2]) <= 4 * 20


def test_what_a_stage_says_of_itself_stays(totals):
    arms = {"plain": {"data": "short"}, "own": {"data": "long", "train": {"steps": 5}}}
    found, _ = totals("tokens", arms=arms, steps=40)
    assert found["own"][0] == 5


def test_the_arm_that_others_follow_from_may_not_be_left_out(totals):
    with pytest.raises(UserError, match="match: tokens: the updates of 'more' follow from those of 'plain'") as caught:
        totals("tokens", only=["more"], steps=9)
    assert caught.value.hint == "add --arm plain"
    assert totals(None, only=["more"], steps=9)[0]["more"][0] == 9
