"""A shared draw: each record's own distribution is what it is without sharing; only independence is given up."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from contextune.contexts import NoContext, bind_policy, compose, parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment
from contextune.train import stage
from contextune.train.grouping import Grouped, grouped
from contextune.train.layouts import SHARED
from contextune.train.options import Train
from contextune.train.schedule import Plan

RECORDS = [Record(f"r{i}", (Segment(f"w{i % 90} w1 w2", "target"),), f"d{i // 4}", origin="docs") for i in range(24)]
PROMPTS = [f"w{i} w3 w4 w5 w6 w7 w8 w9 w10" for i in range(6)]


@pytest.fixture(scope="module")
def scene(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "six.txt").write_text("\n".join(PROMPTS))
    return BindContext(tokenizer, tuple(RECORDS), folder)


def bound(scene, policy="prompts", **options):
    chosen = parse({"policy": policy, "set": "six.txt", **options}).located(scene.folder)
    return bind_policy(chosen, scene)


def text(context, record, at):
    return "".join(s.text for s in context.draw(record, at).segments)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_groups_part_the_epoch(share, seed, epoch):
    context = Grouped(None, tuple(RECORDS), share)
    found = [tuple(r.id for r in context.group(record, DrawKey(seed, epoch))) for record in RECORDS]
    assert all(record.id in group for record, group in zip(RECORDS, found, strict=True))
    members = [i for group in set(found) for i in group]
    assert sorted(members) == sorted(r.id for r in RECORDS)
    assert max(map(len, found)) == min(share, 24)
    order = [RECORDS[row].id for _, row in Plan.of(24, 24, seed, 9).update(epoch)]
    assert all(order.index(b) == order.index(a) + 1 for group in found for a, b in pairwise(group))


@pytest.mark.parametrize("policy", ["prompts", "random_tokens"])
def test_a_group_has_one_context_and_groups_differ(scene, policy):
    context = grouped(bound(scene, policy), RECORDS, 4)
    seen = Counter()
    for record in RECORDS:
        group = context.group(record, DrawKey(0, 0))
        assert len({text(context, r, DrawKey(0, 0)) for r in group}) == 1
        seen[text(context, record, DrawKey(0, 0))] += 1
    assert len(seen) >= 3


@pytest.mark.parametrize("share", [1, 3, 8])
def test_each_record_meets_each_prompt_as_often(scene, share):
    """The marginal of a record over 600 epochs, and of a place in the group, is uniform on the six prompts."""
    context = grouped(bound(scene), RECORDS, share)
    for record in RECORDS[:4]:
        drawn = Counter(text(context, record, DrawKey(5, epoch)) for epoch in range(600))
        assert chisquare([drawn[t] for t in sorted(drawn)]).pvalue > 1e-3
        assert len(drawn) == 6


def test_draws_of_an_epoch_say_nothing_about_the_next(scene):
    context = grouped(bound(scene), RECORDS, 8)
    texts = [text(context, RECORDS[0], DrawKey(1, epoch)) for epoch in range(900)]
    again = sum(a == b for a, b in pairwise(texts)) / 899
    assert 1 / 6 - 0.04 < again < 1 / 6 + 0.04


def test_the_control_keeps_its_lengths(scene):
    """`random_tokens` has the length of the prompt that `prompts` draws at the same place, shared or not."""
    real, noise = (grouped(bound(scene, p), RECORDS, 3) for p in ("prompts", "random_tokens"))
    for record in RECORDS:
        at = DrawKey(2, 1)
        assert len(noise.draw(record, at).segments[0].ids) == len(text(real, record, at).split())


def test_an_update_computes_shared_prompts_once(scene, tokenizer):
    from contextune.train.updates import Updates

    plan = Plan.of(24, 8, 0)
    sizes = {}
    for share in (1, 8):
        updates = Updates(RECORDS, grouped(bound(scene), RECORDS, share), tokenizer, plan, 64)
        sizes[share] = [sum(b.input_ids.numel() for b in SHARED(updates[t], 8192, 0)) for t in range(3)]
        assert updates[1] == updates[1]
    # <s>, nine tokens of one prompt, then three each of eight targets (the end of text is only predicted)
    assert sizes[8] == [10 + 8 * 3] * 3
    assert sum(sizes[1]) > 1.5 * sum(sizes[8])


def test_what_cannot_share_is_refused_before_training(scene, tokenizer, tiny, tmp_path):
    job = stage.TrainJob(RECORDS, NoContext(), tokenizer, Train(share=2), 0, str(tiny), tmp_path)
    with pytest.raises(UserError, match="draws for one record at a time"):
        stage.run(job)
    with pytest.raises(UserError, match="per: document"):
        grouped(bound(scene, per="document"), RECORDS, 2)
    assert grouped(NoContext(), RECORDS, 1) == NoContext()


def test_without_sharing_nothing_changes(scene):
    one = bound(scene)
    assert grouped(one, RECORDS, 1) is one
    assert compose(RECORDS[3], one, DrawKey(0, 0)).segments[0].text.strip() in PROMPTS
