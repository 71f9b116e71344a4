"""A template that writes the date: a run resumed another day is the same run."""

from __future__ import annotations

import json
import pickle
from datetime import datetime
from pathlib import Path

import pytest

from contextune import models
from contextune.core import clock
from contextune.experiment.prepare import prepare
from contextune.experiment.prepare.data import began
from contextune.experiment.recipe import parse

DAY = "2026-03-01 10:00:00"
MESSAGES = [{"role": "user", "content": "w1"}]


def began_then(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps({"began": DAY}))


@pytest.mark.parametrize(
    "call", ['strftime_now("%d %b %Y")', "strftime_now( '%d %b %Y' )", 'strftime_now(format="%d %b %Y")']
)
def test_a_chat_template_writes_the_runs_date(call, tiny):
    template = "{% if strftime_now is defined %}{{ " + call + " }}{% endif %}"
    with clock.fixed(datetime(2026, 3, 1)):
        tokenizer = models.load_tokenizer(str(tiny))
    free = models.load_tokenizer(str(tiny))
    tokenizer.chat_template = free.chat_template = template
    for each in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        assert each.apply_chat_template(MESSAGES, tokenize=False) == "01 Mar 2026"
        assert each.apply_chat_template(MESSAGES, tokenize=False, chat_template=template + "!") == "01 Mar 2026!"
    assert free.apply_chat_template(MESSAGES, tokenize=False) == datetime.now().strftime("%d %b %Y")
    assert tokenizer.chat_template == template  # what is saved writes the day on which it is used


def test_when_a_run_began(tmp_path):
    assert abs((began(tmp_path) - datetime.now()).total_seconds()) < 60
    began_then(tmp_path)
    assert began(tmp_path) == datetime(2026, 3, 1, 10)
    (tmp_path / "run.json").write_text("{")
    assert began(tmp_path).year >= 2026


def test_rows_and_tasks_are_rendered_with_it(tiny, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "w1", "completion": "w2"}\n' * 2)
    dated = "{{ strftime_now('%Y-%m-%d') }} {{ prompt }} "
    recipe = parse({
        "name": "d", "model": str(tiny), "data": {"x": {"path": "a.jsonl", "kind": "pairs", "template": dated}},
        "arms": {"sft": {"data": "x"}}, "train": {"epochs": 1, "batch": 2, "max_length": 64},
        "evaluate": {"tasks": [{"name": "t", "kind": "generate", "rows": [{"prompt": "w3", "a": "w4"}], "prompt": dated,
                                "answer": "{{ a }}"}]},
    })  # fmt: skip
    began_then(tmp_path / "o")
    made = prepare(recipe, tmp_path, tmp_path / "o")
    assert made.documents["x"].documents[0].prompt == "2026-03-01 w1 "
    assert made.tasks[0].items[0].prompt == "2026-03-01 w3 "
    assert made.began == datetime(2026, 3, 1, 10)
    assert not clock.is_fixed()
    other = prepare(recipe, tmp_path, tmp_path / "fresh")
    assert other.documents["x"].fingerprint != made.documents["x"].fingerprint
