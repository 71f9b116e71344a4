"""The arm that is judged is the one that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextune.experiment import recipe
from contextune_lab.papers import synthesis
from contextune_lab.papers.claims import StudyOptions

RECIPES = Path(__file__).resolve().parents[3] / "recipes"


@pytest.mark.parametrize("name", ["contextune", "quickstart"])
def test_ready_recipes_hold_the_arm_that_the_study_measures(name, tmp_path):
    judged = recipe.parse({**synthesis.recipe("reversals", StudyOptions(tmp_path)), "output": str(tmp_path)})
    (expected,), (shipped,) = (
        made.arms["contextune"].stages for made in (judged, recipe.load(RECIPES / f"{name}.yaml", []))
    )
    assert (shipped.context, shipped.augment, shipped.train) == (expected.context, expected.augment, expected.train)
