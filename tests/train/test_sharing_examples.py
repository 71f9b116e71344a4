"""Solved examples shared by several records: nobody's answer leaks, and each record's own draws are what they were."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from contextune.contexts import compose
from contextune.contexts.policy import parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment, render
from contextune.retrieval import Guard
from contextune.train.grouping import grouped


def pair(id: str, question: str, answer: str, **fields) -> Record:
    return Record(id, (Segment(question, "context"), Segment(answer, "target")), id, fields=fields)


def distinct(n: int) -> list[Record]:
    return [pair(f"r{i}", f"w{3 * i} w{3 * i + 1} ", f"w{i}") for i in range(n)]


def bound(tokenizer, records, policy="random", share=4, **options):
    options = {"similarity": "overlap", "k": 2, **options}
    return grouped(parse({"policy": policy, **options}).bind(BindContext(tokenizer, tuple(records))), records, share)


@st.composite
def corpora(draw):
    """Records with duplicates, rewordings, near texts, texts made from another one, and groups kept apart."""
    words = st.lists(st.integers(0, 11), min_size=1, max_size=3)
    records = []
    for i in range(draw(st.integers(6, 16))):
        question = " ".join(f"w{w}" for w in draw(words))
        fields = {}
        if i and draw(st.booleans()):
            fields["paraphrase_of"] = f"r{draw(st.integers(0, i - 1))}"
        if draw(st.booleans()):
            fields["topic"] = draw(st.integers(0, 3))
        records.append(pair(f"r{i}", question + " ", f"w{draw(st.integers(0, 3))}", **fields))
    return records


@settings(max_examples=60, deadline=None)
@given(corpora(), st.integers(2, 5), st.integers(1, 4), st.sampled_from([None, 0.0, 1 / 3]), st.integers(0, 9))
def test_no_member_is_told_by_the_context(tokenizer, records, share, k, tau, epoch):
    """Neither a member, its duplicate or paraphrase, nor what is made of it, precedes one of its group."""
    guarded = {"max_random_similarity": tau, "duplicate_threshold": 0.6, "group_columns": ["topic"]}
    context = bound(tokenizer, records, share=share, k=k, **guarded)
    pool, at = context.context.pool, DrawKey(1, epoch)
    guard = Guard.of(records, records, 0.6, ["topic"])
    place = {r.id: i for i, r in enumerate(records)}
    for record in records:
        drawn = context.draw(record, at)
        group = context.group(record, at)
        assert drawn.provenance["together"] == [r.id for r in group]
        shown = [place[i] for i in drawn.provenance["examples"]]
        assert len(set(shown)) == len(shown) <= k
        for member in group:
            row = pool.row(member)
            scores = pool.space.scores([row], shown)[0] if shown else []
            assert not set(shown) & guard.barred[place[member.id]]
            assert not any(s >= 0.6 and records[p].target == member.target for p, s in zip(shown, scores, strict=True))
            highest = zip(drawn.provenance["examples"], drawn.provenance["similarities"], strict=True)
            assert all(pool.space.scores([row], [place[i]])[0, 0] <= s + 1e-4 for i, s in highest)


def test_far_examples_come_before_near_ones(tokenizer):
    """`tau` holds for every member as long as there are examples enough."""
    records = [*distinct(8), pair("near0", "w0 w1 w80 ", "w50"), pair("near1", "w3 w4 w81 ", "w51")]
    context = bound(tokenizer, records, share=2, k=3)
    for epoch in range(40):
        for record in records:
            assert context.draw(record, DrawKey(0, epoch)).provenance["s_max"] <= 1 / 3


def test_a_records_own_distribution_is_kept(tokenizer):
    """Each of the 15 sets of two among six others comes equally often before a record, shared by three or not."""
    records = distinct(7)
    for share in (1, 3):
        context = bound(tokenizer, records, share=share)
        for record in records[:3]:
            others = [r.id for r in records if r is not record]
            seen = Counter(
                tuple(sorted(context.draw(record, DrawKey(4, e)).provenance["examples"])) for e in range(1200)
            )
            assert set(seen) == {tuple(sorted(c)) for c in combinations(others, 2)}
            assert chisquare(list(seen.values())).pvalue > 1e-3


def test_contrastive_kinds_stay_the_records_own(tokenizer):
    """Who has a similar example keeps it; whose context is random shares it. The chances are those of the policy."""
    records = [pair(f"r{i}", f"w{i // 2} w{40 + i} ", f"w{i}") for i in range(20)]
    options = {"eps": 0.0, "p": 0.5, "k": 2}
    context = bound(tokenizer, records, "contrastive", **options)
    alone, kinds = context.context, Counter()
    for epoch in range(120):
        at = DrawKey(2, epoch)
        for record in records:
            drawn = context.draw(record, at)
            kinds[drawn.provenance["slot_one"]] += 1
            if alone.draws_alone(record, at):
                assert drawn == alone.draw(record, at)
                assert "similar" in drawn.provenance["kinds"]
            else:
                assert drawn.provenance["kinds"] == ["random", "random"]
                assert record.id in drawn.provenance["together"]
    assert chisquare([kinds["similar"], kinds["random"]]).pvalue > 1e-3


def test_the_number_of_examples_keeps_its_distribution(tokenizer):
    context = bound(tokenizer, distinct(9), "mixed_shot", share=3, k=3, min_k=0)
    record = context.records[0]
    seen = Counter(len(context.draw(record, DrawKey(0, e)).provenance["examples"]) for e in range(800))
    assert set(seen) == {0, 1, 2, 3}
    assert chisquare(list(seen.values())).pvalue > 1e-3


def test_the_tokens(tokenizer):
    """<s> is 1, </s> is 2, ids of words are 8 more than their numbers: four records, two contexts."""
    records = distinct(6)
    context = bound(tokenizer, records, share=2, k=1)
    rows = [render(compose(r, context, DrawKey(0, 0)), tokenizer) for r in records[:4]]
    assert [r.ids for r in rows] == GOLDEN
    assert all(r.labels == (-100,) * 6 + r.ids[6:] for r in rows)


GOLDEN = [
    (1, 17, 18, 11, 8, 9, 8, 2),
    (1, 17, 18, 11, 11, 12, 9, 2),
    (1, 11, 12, 9, 14, 15, 10, 2),
    (1, 11, 12, 9, 17, 18, 11, 2),
]


@pytest.mark.parametrize("policy", ["similar", "neighbour_only", "self_copy", "paraphrase_only"])
def test_what_always_depends_on_one_record_is_refused(tokenizer, policy):
    with pytest.raises(UserError, match="chosen for one record"):
        bound(tokenizer, distinct(6), policy)


def test_an_order_by_one_records_similarities_is_refused(tokenizer):
    with pytest.raises(UserError, match="similar_last"):
        bound(tokenizer, distinct(6), order="similar_last")


def test_travels_to_other_processes(tokenizer):
    context = bound(tokenizer, distinct(6))
    record, at = context.records[0], DrawKey(0, 0)
    assert context.draw(record, at) == pickle.loads(pickle.dumps(context)).draw(record, at)
