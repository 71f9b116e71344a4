"""Passages before a record: the right one among near ones, in most draws, whole, within the budget."""

from __future__ import annotations

import pytest

from contextune.contexts import bind_policy, compose, parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment, render

PASSAGES = [
    Record("d0#0", (Segment("w1 w2 w3 w4", "target"),), "d0"),
    Record("d0#1", (Segment("w1 w2 w5 w6", "target"),), "d0"),
    Record("d1#0", (Segment("w1 w7 w8 w9", "target"),), "d1"),
    Record("d2#0", (Segment("w20 w21 w22 w23", "target"),), "d2"),
]
ASKED = Record("q0", (Segment("w1 w2 w3", "context"), Segment("w4", "target")), fields={"passage": "w1 w2 w3 w4"})
TOLD = Record("d0#0~rephrase", (Segment("w4 w3", "target"),), "d0", fields={"source": "d0#0"})


def bound(tokenizer, records, said=None, **options):
    said = [] if said is None else said
    policy = parse({"policy": "retrieved", "retrieve": "docs", "separator": " w90 ", **options})
    context = BindContext(tokenizer, tuple(records), source=lambda name: PASSAGES, say=said.append, warn=said.append)
    return bind_policy(policy, context)


def shown(policy, record, epoch=0):
    return "".join(s.text for s in policy.draw(record, DrawKey(0, epoch)).segments)


def test_the_right_passage_stands_among_near_ones_and_is_not_trained_on(tokenizer):
    policy = bound(tokenizer, [ASKED], k=2, without=0)
    made = render(compose(ASKED, policy, DrawKey(0, 0)), tokenizer)
    # <s> | w1 w2 w5 w6 w90 | w1 w2 w3 w4 w90 | w1 w2 w3 | w4 </s>: w0 is 8
    assert sorted([made.ids[1:6], made.ids[6:11]]) == [(9, 10, 11, 12, 98), (9, 10, 13, 14, 98)]
    assert made.ids[11:] == (9, 10, 11, 12, 2)
    assert made.labels == (-100,) * 14 + (12, 2)


def test_in_a_share_of_the_draws_it_is_left_out_and_near_ones_take_its_place(tokenizer):
    policy = bound(tokenizer, [ASKED], k=2, without=0.4)
    draws = [policy.draw(ASKED, DrawKey(0, epoch)) for epoch in range(300)]
    with_it = sum("right" in d.provenance["retrieved"] for d in draws)
    assert 150 < with_it < 210
    for d in draws:
        names = d.provenance["retrieved"]
        assert len(names) == 2
        assert "d0#0" not in names  # the right passage under its own name would come in by the back door
        if "right" not in names:
            assert "w4" not in d.segments[0].text


def test_the_right_one_stands_at_any_place(tokenizer):
    policy = bound(tokenizer, [ASKED], k=3, without=0)
    places = {policy.draw(ASKED, DrawKey(0, e)).provenance["retrieved"].index("right") for e in range(60)}
    assert places == {0, 1, 2}


def test_what_was_inferred_is_learned_after_the_text_that_it_was_inferred_from(tokenizer):
    policy = bound(tokenizer, [TOLD], k=1, without=0)
    assert shown(policy, TOLD) == "w1 w2 w3 w4 w90 "


def test_a_raw_text_never_stands_before_itself(tokenizer):
    policy = bound(tokenizer, PASSAGES, k=3)
    for epoch in range(20):
        drawn = policy.draw(PASSAGES[0], DrawKey(0, epoch))
        assert "d0#0" not in drawn.provenance["retrieved"]
        assert "d0#1" in drawn.provenance["retrieved"]


def test_passages_that_do_not_fit_are_left_out_whole(tokenizer):
    policy = bound(tokenizer, [ASKED], k=4, without=0, max_tokens=11)  # two of five tokens each
    for epoch in range(20):
        words = shown(policy, ASKED, epoch).split()
        assert len(words) == 10
        assert words[4] == words[9] == "w90"
    assert policy.limit == 11


def test_draws_are_a_function_of_the_key(tokenizer):
    a, b = (bound(tokenizer, [ASKED], k=3) for _ in range(2))
    assert [shown(a, ASKED, e) for e in range(9)] == [shown(b, ASKED, e) for e in range(9)]
    assert len({shown(a, ASKED, e) for e in range(9)}) > 1


def test_what_is_known_is_said(tokenizer):
    said: list[str] = []
    lacking = Record("q1", (Segment("w8", "context"), Segment("w9", "target")))
    policy = bound(tokenizer, [ASKED, lacking], said)
    assert "known of 1 of 2 rows" in said[0]
    assert policy.shares()[0].possible == pytest.approx(0.4)
    bound(tokenizer, [ASKED], said, max_tokens=8, separator=" w90" * 8)
    assert any("has more than 8 tokens" in text for text in said)


def test_pairs_are_no_passages(tokenizer):
    policy = parse({"policy": "retrieved", "retrieve": "docs"})
    with pytest.raises(UserError, match=r"data\.docs holds no plain texts"):
        bind_policy(policy, BindContext(tokenizer, (ASKED,), source=lambda name: [ASKED]))
