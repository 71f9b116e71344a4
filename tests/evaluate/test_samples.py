"""The samples of public tests that come with the package: for retention, where nothing may be downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextune.evaluate.tasks.load import BUILT_IN, load_task


@pytest.mark.parametrize(("name", "n"), [("mmlu_sample", 100), ("gsm8k_sample", 80)])
def test_a_sample_is_whole_and_measures_retention(name, n):
    (task,) = load_task(name, Path())
    assert (len(task.items), task.measure, task.kind) == (n, "retain", "choice")
    assert len({i.id for i in task.items}) == n
    for item in task.items:
        assert len(set(item.options)) == 4
        assert all(o.startswith(" ") and o.strip() for o in item.options)
    licence = (BUILT_IN / "licences" / name.partition("_")[0]).read_text(encoding="utf-8")
    assert licence.startswith("MIT License\n\nCopyright (c) 202")


def test_all_options_are_numbers_of_the_worked_steps():
    """So that no option is ruled out for not being there."""
    (task,) = load_task("gsm8k_sample", Path())
    for item in task.items:
        assert item.prompt.endswith("\nThe final answer is")
        assert all(option.strip() in item.prompt for option in item.options), item.id
