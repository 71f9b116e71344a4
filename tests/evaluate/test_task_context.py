"""Tasks behind a context: the same items, prompts longer by what the policy draws for each."""

from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from contextune.evaluate.tasks.load import load_task

SPEC = {"name": "mine", "rows": [{"q": "w1", "a": 0}, {"q": "w2", "a": 1}], "prompt": "{{ q }}",
        "options": [" w1", " w2"], "answer": "{{ a }}"}  # fmt: skip


def test_a_drawn_prompt_stands_before_each_item(tokenizer, tmp_path):
    (tmp_path / "short.txt").write_text("w3 w4\nw5\n")
    before = {"policy": "prompts", "set": "short.txt"}
    (plain,) = load_task(SPEC, tmp_path, tokenizer=tokenizer)
    (behind,) = load_task({**SPEC, "before": before, "suffix": "prompted"}, tmp_path, tokenizer=tokenizer)
    assert (behind.name, behind.measure) == ("mine.prompted", "task")
    for one, other in zip(plain.items, behind.items, strict=True):
        assert other.prompt.endswith(one.prompt)
        assert other.prompt.removesuffix(one.prompt).strip() in ("w3 w4", "w5")
        assert (other.answer, other.options) == (one.answer, one.options)
    (again,) = load_task({**SPEC, "before": before, "suffix": "prompted"}, tmp_path, tokenizer=tokenizer)
    assert again.items == behind.items


def test_a_world_behind_random_tokens(tokenizer, tmp_path):
    spec = {"world": "reversals", "options": {"size": "small"}, "tasks": ["forward"], "before": "random_tokens"}
    (behind,) = load_task(spec, tmp_path, limit=3, tokenizer=tokenizer)
    assert behind.name == "forward.behind"
    assert len({i.prompt[:20] for i in behind.items}) == 3


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({"set": "learning"}, "before: expected a context policy"),
        ("prompt", "unknown context policy 'prompt'"),
        ({"policy": "prompts", "sett": 1}, "before.sett"),
        ("random", "cannot precede a task"),
    ],
)
def test_bad_input(before, said, tokenizer, tmp_path):
    with pytest.raises(UserError) as e:
        load_task({**SPEC, "before": before}, tmp_path, tokenizer=tokenizer)
    assert said in str(e.value)
