"""Which test items are looked for in the training texts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from contextune.core.items import Item, Task
from contextune.core.sequence import Record, Segment
from contextune.experiment.overlaps import overlaps

TEXT = "the opposite of hot is cold."


def prepared(record, task):
    return SimpleNamespace(
        records={"d": SimpleNamespace(records=[record])}, tasks=[task], arms={}, documents={}, large=lambda name: False
    )


def found(measure, *, kind="generate", answer="cold", options=(), **fields):
    item = Item("1", "Rune helps Seke.\nthe opposite of hot is", answer, options)
    task = Task("t", kind, (item,), "exact_match", measure, fields={"world": "w", **fields})
    record = Record("r", (Segment(TEXT, "target"),), "r")
    return overlaps(prepared(record, task)).ids


@pytest.mark.parametrize("measure", ["generalise", "listen", "resist", "retain", "task"])
def test_a_generated_answer_is_looked_for_behind_its_prompt(measure):
    """A generated answer has no space before it; glued to the prompt it would be found nowhere."""
    assert found(measure) == ("t:1",)


def test_options_bring_their_own_space():
    assert found("listen", kind="choice", answer=1, options=(" warm.", " cold.")) == ("t:1",)


def test_what_was_taught_may_stand_in_the_training_texts():
    assert found("learn") == ()
    assert found("resist", taught=True) == ()


@pytest.mark.parametrize("world", [{}, {"world": "w"}])
def test_with_a_world_or_without(world):
    item = Item("1", "the opposite of hot is", "cold")
    task = Task("t", "generate", (item,), "exact_match", "task", fields=world)
    record = Record("r", (Segment(TEXT, "target"),), "r")
    assert overlaps(prepared(record, task)).ids == ("t:1",)
