"""Instruction following: each check by itself, answers that only look right, and the items that ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.evaluate.metrics import find
from contextune.evaluate.metrics.follows import parse
from contextune.evaluate.tasks.load import load_task

worth = find("follows").worth


@pytest.mark.parametrize(
    ("rules", "right", "wrong"),
    [
        ("words 3", ["sand and water", "Sand, shells, waves."], ["", "sand", "I see sand and water", "three words"]),
        ("lines 2", ["a\nb", "a\n\nb\n"], ["a", "a\nb\nc"]),
        ("sentences 1", ["It is late.", "It is late", '"It is late."'], ["It is late. We go.", "...", "?"]),
        ("sentences 2", ["It is late. We go."], ["It is late."]),
        ("at most 5 words", ["to rest", "one two three four five"], ["", "one two three four five six", "..."]),
        ("upper", ["A DARK FOREST."], ["A dark FOREST", "123", "…"]),
        ("lower", ["the moon."], ["The moon.", "7"]),
        ("ends river", ["We swam in the river.", 'He said "River!"'], ["The river is wide.", "a driver"]),
        ("starts When", ["When it rains, we stay.", '"when"'], ["Whenever it rains", "It was when"]),
        ("has horse; has bread", ["The horse ate bread."], ["The horse ate.", "horses and breads"]),
        ("lacks hot", ["It is bright.", "a hotel"], ["It is HOT.", "", "!"]),
        ("times 3 yes; words 3", ["yes yes yes", "Yes, yes, yes!"], ["yes yes", "yes yes yes yes", "yes yes yes sir"]),
        ("one of yes", ["yes", " Yes. "], ["yes and no", "no", "yes, it is", "yess"]),
        ("one of A | B | C", ["b", "C."], ["A or B", "D", "A | B | C"]),
        ("is APPLE, RIVER", ["APPLE, RIVER", " APPLE, RIVER\n"], ["Apple, River", "APPLE, RIVER, CHAIR", "APPLE RIVER"]),
        ("list 2", ["- red\n- blue"], ["red\nblue", "- red", "- red\n- blue\n- green", "Here:\n- red\n- blue", "-\n- x"]),
        ("commas 3", ["a, b, c", "leek, kale and beet, pea"], ["a, b", "a, b, ", "a,\nb, c", "a, b, c, d"]),
        ("digits", ["8", "1,000", "4."], ["eight", "8 legs", "It is 8", "8 8"]),
        ("json name age", ['{"name": "x", "age": 1}'], ['{"name": 1}', "name age", '{"name":1,"age":2,"x":3}', '["name"]']),
        ("json name", ['{"name": null}'], ["[" * 100_000, '{"name": 1} done', '```json\n{"name": 1}\n```']),
        ("quoted", ['"Hello!"', "“Good day”"], ["Hello", '"', '""', '"a" and "b"', '"open']),
    ],
)  # fmt: skip
def test_each_check(rules, right, wrong):
    assert [worth(text, rules) for text in right] == [1.0] * len(right)
    assert [worth(text, rules) for text in wrong] == [0.0] * len(wrong)


def test_an_unknown_check_is_named():
    with pytest.raises(UserError, match="no check 'word 3'"):
        parse("word 3")


@pytest.mark.parametrize(
    "trivial",
    ["", "Yes.", "I don't know.", "The text does not say.", "Sure! Here is what you asked for.", "1. 2. 3."],
)
def test_the_same_answer_to_everything_follows_little(trivial):
    (task,) = load_task("instructions", Path())
    assert len(task.items) == 78
    assert len({i.prompt for i in task.items}) == 78
    assert sum(worth(trivial, i.gold) for i in task.items) / 78 <= 0.2
    repeated = sum(worth(i.prompt.split(": ", 1)[1], i.gold) for i in task.items) / 78
    assert repeated <= 0.2  # who says the instruction again


def test_every_item_can_be_followed():
    """An answer of ours to each item passes, so that none asks for what its own check refuses."""
    (task,) = load_task("instructions", Path())
    answers = json.loads((Path(__file__).parent / "instruction_answers.json").read_text("utf-8"))
    assert [i.id for i in task.items if not worth(answers[i.id], i.gold)] == []
    assert task.measure == "retain"
