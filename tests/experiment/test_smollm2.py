"""A real model, where `contextune get smollm2` has put it: it learns invented facts in a few updates."""

from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.experiment import recipe
from contextune.experiment.run import run
from contextune.models.smollm2 import SmolLM2

FACTS = {"world": "inventions", "options": {"size": "small", "facts": 8, "probes": 8, "seed": 6}}
"""As few as four options need, of a draw where no name begins like an invention (seed 5: Saltmarsh, Salt Telescope)."""


@pytest.mark.slow
def test_it_learns_what_it_is_told(tmp_path):
    try:
        SmolLM2().path()
    except UserError as e:
        pytest.skip(str(e))
    made = recipe.parse({
        "name": "few", "model": "smollm2", "output": str(tmp_path / "out"), "data": {"facts": FACTS},
        "arms": {"none": None, "plain": {"data": "facts"}}, "seeds": [0],
        "train": {"steps": 24, "batch": 8, "lr": 2e-4, "max_length": 64},
        "evaluate": {"tasks": [FACTS | {"tasks": ["recall", "retain_common"]}], "samples": 0},
    })  # fmt: skip
    arms = run(made, reporter=Reporter.silent())["arms"]
    learned = {name: {task: cell["value"] for task, cell in arm["tasks"].items()} for name, arm in arms.items()}
    assert learned["plain"]["recall"] == 1.0, learned
    assert learned["none"]["recall"] < 1.0, learned
    assert learned["none"]["retain_common"] > 0.8, "it knows what most people know"
