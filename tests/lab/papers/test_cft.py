"""Contextual fine-tuning on text: all arms, and verdicts that follow the values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune_lab.papers import cft
from contextune_lab.papers.claims import StudyOptions

ISSUE = {"none", "cpt", "cft", "negative", "neutral", "random_tokens", "ift", "cpt_ift", "cft_ift", "reading"}


class FakeComparison:
    """A comparison of invented values; `spread` is the standard error of each."""

    def __init__(self, values: dict[str, float], spread: float) -> None:
        self.values, self.spread = values, spread
        self.results = {"arms": dict.fromkeys(sorted(ISSUE))}

    def of(self, arm: str, task: str) -> Estimate:
        value = self.values.get(arm, 0.5) if task == cft.TEST else 0.5
        rng = np.random.default_rng(sorted(ISSUE).index(arm))
        return Estimate(value, value + self.spread * rng.standard_normal(400))


@pytest.mark.parametrize("model", ["pocket", "elsewhere"])
def test_every_arm_of_the_study_is_there(model):
    made = recipes.parse(cft.recipe(StudyOptions(Path("out"), model=model)))
    assert set(made.arms) == ISSUE | ({"generated"} if model != "pocket" else set())
    documents = {arm: found.stages[0] for arm, found in made.arms.items() if found.stages and arm != "ift"}
    assert {s.data for s in documents.values()} == {"texts"}
    assert {s.train.get("steps") for s in documents.values()} == {None}, "the same updates, those of the recipe"


@pytest.mark.parametrize(
    ("cpt", "spread", "verdict"),
    [
        (0.3, 0.01, "holds"),
        (0.7, 0.01, "fails"),
        (0.5, 0.001, "not shown"),
        (0.5, 0.05, "not testable"),
    ],
)
def test_a_verdict_needs_an_interval_that_tells(cpt, spread, verdict):
    made = {c.id: c for c in cft.claims(FakeComparison({"cpt": cpt}, spread), 5)}
    assert made["cft_over_cpt"].verdict == verdict
    assert made["cft_over_cpt"].theirs == 0.0185
    assert (made["cft_over_neutral"].verdict, made["cft_over_neutral"].whose) == ("not shown", "ours")
    assert made["generated_over_cpt"].verdict == "not testable"
    assert {f"{t}.{arm}" for t in (cft.TEST, "on") for arm in ISSUE} <= set(made)


def test_what_is_asked_behind_a_prompt_stands_beside_the_plain_question():
    made = recipes.parse(cft.recipe(StudyOptions(Path("out"))))
    plain, behind = made.evaluate.tasks
    assert set(plain["tasks"]) == {*cft.TESTS, *cft.PRICE}
    assert (behind["tasks"], behind["before"], behind["suffix"]) == ([cft.TEST], cft.LEARNING, cft.ON)


def test_notes_say_how_much_was_trained():
    notes = cft.notes(SimpleNamespace(), StudyOptions(Path("out"), options={"steps": 30}))
    assert notes[0].startswith("Documents: 30 updates of 4; pairs: 10 updates; 5 seeds")
