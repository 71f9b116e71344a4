"""The frontier: every arm is a recipe's, gets as many updates, and is judged on another draw than its rate."""

from __future__ import annotations

import pytest

from contextune.contexts import compose
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey
from contextune.experiment import recipe as recipes
from contextune.experiment.prepare import prepare
from contextune_lab.papers import frontier, synthesis
from contextune_lab.papers.claims import StudyOptions, find
from contextune_lab.papers.frontier import MORE, RATES


class Values:
    """Comparisons of which the means are given."""

    def __init__(self, values):
        self.values = values

    def of(self, arm, task):
        return type("E", (), {"value": self.values[arm]})


def test_every_arm_is_one_that_a_recipe_may_have(tmp_path):
    wanted = StudyOptions(tmp_path, options={"steps": 100})
    arms = frontier.chosen_arms(wanted)
    assert set(arms) == {*synthesis.ARMS, *MORE, "contextune_held"}
    made = recipes.parse(frontier.recipe(wanted, frontier.tried(arms), (0,), 0))
    assert len(made.arms) == 1 + len(arms) * len(RATES)
    for name in arms:
        stages = made.arms[frontier.name_of(name, 1)].stages
        trained = [made.training(s) for s in stages]
        assert sum(t.steps for t in trained) == 100
        assert trained[0].lr == RATES[1]
    preferred = [made.training(s) for s in made.arms["preferred-rate1"].stages]
    assert [t.lr for t in preferred] == [1e-3, pytest.approx(1e-4)]
    assert preferred[1].objective.name == "dpo"


def test_what_is_judged_is_another_draw(tmp_path):
    wanted = StudyOptions(tmp_path)
    specs = [frontier.recipe(wanted, {"finetuned": (synthesis.ARMS["finetuned"], 1e-3)}, (0,), d) for d in (0, 1)]
    assert [s["data"]["facts"]["options"]["seed"] for s in specs] == [0, 1]
    assert frontier.drawn(wanted) == 1
    with pytest.raises(UserError, match="rates are chosen on it"):
        frontier.drawn(StudyOptions(tmp_path, options={"draw": 0}))


def test_an_arm_has_the_rate_at_which_it_did_best():
    found = Values({"a-rate1": 0.1, "a-rate2": 0.5, "a-rate3": 0.5, "b-rate1": 0.9, "b-rate2": 0.2, "b-rate3": 0.3})
    assert frontier.best(found, ["a", "b"]) == {"a": RATES[1], "b": RATES[0]}


def test_some_arms_alone(tmp_path):
    assert list(frontier.chosen_arms(StudyOptions(tmp_path, options={"arms": "held, cft"}))) == ["cft", "held"]
    with pytest.raises(UserError, match="no arm 'hold'"):
        frontier.chosen_arms(StudyOptions(tmp_path, options={"arms": "hold"}))
    assert find("frontier")


def test_every_row_of_the_preferred_has_two_answers(tmp_path):
    wanted = StudyOptions(tmp_path, options={"steps": 100})
    spec = frontier.recipe(wanted, {"preferred": (MORE["preferred"], 1e-3)}, (0,), 0)
    made = prepare(recipes.parse(spec), tmp_path, tmp_path / "out", plan=True)
    pairs = made.arms["preferred"][1]
    drawn = [compose(r, pairs.context, DrawKey(0, 0)) for r in pairs.records]
    assert drawn
    assert all(d.rejected for d in drawn)
