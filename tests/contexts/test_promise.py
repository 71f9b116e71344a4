"""What a policy promises of its length is held at every draw, at `check` and in training; wrappers forward it."""

from __future__ import annotations

import json

import pytest

import contextune
from contextune import DrawKey, Record, Segment, UserError
from contextune.contexts import BoundPolicy, ContextDraw, NoContext, Policy, bind_policy, compose, parse
from contextune.contexts.replay_without_context import replay_without_context
from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import render

RECORD = Record("r", (Segment("w1 w2", "target"),), "d", origin="o")


class Fixed(BoundPolicy):
    def draw(self, record, key):
        return ContextDraw((Segment("w8 w9 ", "context"),))


@pytest.fixture
def liar(monkeypatch):
    """Promises one token and draws two, as a policy would that computes its length from records not there yet."""

    class Liar(Policy):
        tokens: int = 1

        def bind(self, context):
            return Fixed()

        def max_context_tokens(self, tokenizer):
            return self.tokens

        def is_target(self, record):
            return record.id != "shown"

    monkeypatch.setitem(registry.policies._known, "liar", Liar)
    Liar.name = "liar"
    return Liar


def test_a_broken_promise_is_an_error_at_the_first_draw(liar, tokenizer):
    bound = bind_policy(liar(), BindContext(tokenizer))
    with pytest.raises(UserError, match="record r: its context has 2 tokens, but the policy's max_context_tokens prom"):
        render(compose(RECORD, bound, DrawKey(0, 0)), tokenizer)
    kept = bind_policy(liar(tokens=2), BindContext(tokenizer))
    assert render(compose(RECORD, kept, DrawKey(0, 0)), tokenizer).ids == (1, 16, 17, 9, 10, 2)


def test_check_finds_it(liar, tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Kalo teaches Mido."}) + "\n")
    monkeypatch.chdir(tmp_path)
    values = {"model": "pocket", "data": {"a": {"path": "a.jsonl"}}, "arms": {"x": {"data": "a", "context": "liar"}}}
    with pytest.raises(UserError, match="max_context_tokens promised 1 at most"):
        contextune.check(values, measure=False)


@pytest.mark.parametrize(
    ("policy", "most"),
    [
        ({"policy": "concat", "policies": ["liar", {"policy": "liar", "tokens": 3}]}, 4),
        ({"policy": "mixture", "policies": ["liar", {"policy": "liar", "tokens": 3}]}, 3),
        ({"policy": "concat", "policies": ["liar", "similar"]}, None),
        ({"policy": "counterfactual", "max_tokens": 9, "otherwise": {"policy": "liar", "tokens": 12}}, 12),
        ({"policy": "counterfactual", "otherwise": "liar"}, None),
    ],
)
def test_wrappers_forward(liar, policy, most, tokenizer):
    made = parse(policy)
    assert made.max_context_tokens(tokenizer) == most
    assert not made.is_target(Record("shown", RECORD.segments))
    assert made.is_target(RECORD)


def test_replayed_records_keep_no_context(liar, tokenizer):
    bound = replay_without_context(bind_policy(liar(tokens=2), BindContext(tokenizer)), {("o", "r")})
    assert bound.draw(RECORD, DrawKey(0, 0)).segments == ()
    assert bound.draws_alone(RECORD, DrawKey(0, 0))


def test_sharing_is_refused_unless_a_policy_says_otherwise(liar, tokenizer):
    with pytest.raises(UserError, match="draws for one record at a time"):
        bind_policy(liar(), BindContext(tokenizer)).share([RECORD], DrawKey(0, 0))
    assert NoContext().draw(RECORD, DrawKey(0, 0)) == ContextDraw()


def test_concat_shares_what_its_parts_share(tokenizer, tmp_path):
    (tmp_path / "set.txt").write_text("w3 w4\nw5 w6\n")
    prompts = {"policy": "prompts", "set": "set.txt"}
    both = bind_policy(parse({"policy": "concat", "policies": [prompts, prompts]}), _context(tokenizer, tmp_path))
    drawn = both.share([RECORD], DrawKey(0, 0))
    assert drawn.segments == both.draw(RECORD, DrawKey(0, 0)).segments
    assert len(drawn.segments) == 2
    assert drawn.limit == 4


def _context(tokenizer, folder):
    return BindContext(tokenizer, (RECORD,), folder=folder)
