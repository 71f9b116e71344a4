"""What an objective needs of a stage is asked for before training: prompts to answer, a teacher who sees more."""

from __future__ import annotations

import json

import pytest

from contextune import load
from contextune.core.errors import UserError
from contextune.experiment import augment
from contextune.experiment.prepare import prepare


@pytest.fixture
def recipe(tiny, tmp_path):
    lines = {
        "texts": [{"text": f"w{i} w{i + 1} w{i + 2}"} for i in range(6)],
        "asked": [{"prompt": f"w{i}", "completion": f"w{i + 1}"} for i in range(6)],
    }
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": "mine", "model": str(tiny), "output": str(tmp_path / "out"),
        "data": {"texts": {"path": "texts.jsonl"}, "asked": {"path": "asked.jsonl", "kind": "pairs"}},
        "arms": {"arm": {"data": "asked", "context": {"policy": "demonstration", "text": "w9 {answer} w8 "}}},
        "train": {"max_length": 64, "steps": 2, "batch": 2},
    }  # fmt: skip


def ready(recipe, folder, **arm):
    recipe["arms"]["arm"].update(arm)
    return prepare(load(recipe), folder).arms["arm"][0]


DISTILL = {"objective": {"objective": "distill", "answers": "student", "max_tokens": 4}}


def test_the_teacher_alone_sees_the_answer(recipe, tmp_path):
    stage = ready(recipe, tmp_path, train=DISTILL)
    assert stage.train.objective.writes
    with pytest.raises(UserError, match=r"context demonstration: it shows the record's own answer") as e:
        ready(recipe, tmp_path, train={})
    assert "answers: student" in e.value.hint


@pytest.mark.parametrize("wrapped", ["mixture", "concat"])
def test_nor_does_it_in_another_policy(recipe, tmp_path, wrapped):
    context = {"policy": wrapped, "policies": ["none" if wrapped == "mixture" else "demonstration", "demonstration"]}
    with pytest.raises(UserError, match="it shows the record's own answer"):
        ready(recipe, tmp_path, context=context)


def test_answers_are_written_after_prompts(recipe, tmp_path):
    with pytest.raises(UserError, match="none of the 6 rows has one") as e:
        ready(recipe, tmp_path, data="texts", train=DISTILL, context={"policy": "inoculation", "instruction": "w7"})
    assert "kind pairs or messages" in e.value.hint


def test_texts_are_written_where_updates_follow_from_an_arm_without_any(recipe, tmp_path):
    """The arm that others are matched to is read too, though nothing of it is asked."""
    recipe["arms"] = {"plain": {"data": "texts"}, "more": {"data": "texts", "augment": ["repeat"]}}
    recipe["compare"] = {"match": "tokens"}
    made = augment.run(load(recipe), tmp_path, (), lambda text: None)
    assert [arm for arm, *_ in augment.stages(made)] == ["more"]
