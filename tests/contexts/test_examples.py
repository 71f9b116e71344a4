"""Contexts of solved examples: exact tokens, sampler statistics, purity, bounds, bad input."""

from __future__ import annotations

import math
import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune import worlds
from contextune.contexts import Contrastive, Scene, compose
from contextune.contexts.base import parse, plain
from contextune.errors import UserError
from contextune.recipe import parse as recipe
from contextune.sequence import Moment, Record, Segment, encode, render

I = -100  # noqa: E741
OVERLAP = {"similarity": "overlap"}
NAMES = [
    "random", "similar", "contrastive", "batch_mix", "mixed_shot", "raft", "paraphrase_only", "neighbour_only",
    "self_copy", "edited",
]  # fmt: skip


def pair(id: str, question: str, answer: str, **fields) -> Record:
    return Record(id, (Segment(question, "context"), Segment(answer, "target")), id, fields=fields)


PAIRS = [
    pair("r0", "w0 w1 ", "w10"),
    pair("r1", "w0 w2 ", "w11"),
    pair("r2", "w5 w6 ", "w12"),
    pair("r3", "w7 w8 ", "w13"),
]
"""r0 and r1 are half alike; ids of words are 8 more than their numbers."""


@pytest.fixture(scope="module")
def slots():
    return worlds.build("slots", size="small").records["train"]


def bound(tokenizer, records, policy: str, source=None, **options):
    return parse({"policy": policy, **options}).bind(Scene(tokenizer, tuple(records), source=source))


def rendered(tokenizer, context, record):
    made = render(compose(record, context, Moment(0, 0)), tokenizer)
    return list(made.ids), list(made.labels)


class TestTokens:
    """<s> is 1, </s> is 2."""

    def test_zero(self, tokenizer):
        ids, labels = rendered(tokenizer, bound(tokenizer, PAIRS, "zero"), PAIRS[0])
        assert ids == [1, 8, 9, 18, 2]
        assert labels == [I, I, I, 18, 2]

    def test_similar(self, tokenizer):
        context = bound(tokenizer, PAIRS, "similar", k=1, **OVERLAP)
        ids, labels = rendered(tokenizer, context, PAIRS[0])
        assert ids == [1, 8, 10, 19, 8, 9, 18, 2]
        assert labels == [I, I, I, I, I, I, 18, 2]

    def test_neighbour_only(self, tokenizer):
        context = bound(tokenizer, PAIRS, "neighbour_only", k=1, **OVERLAP)
        assert rendered(tokenizer, context, PAIRS[1])[0] == [1, 8, 9, 18, 8, 10, 19, 2]

    def test_random_takes_no_accidental_neighbour(self, tokenizer):
        context = bound(tokenizer, PAIRS, "random", k=2, order="similar_last", **OVERLAP)
        ids, labels = rendered(tokenizer, context, PAIRS[0])
        assert sorted([ids[1:4], ids[4:7]]) == [[13, 14, 20], [15, 16, 21]]
        assert ids[7:] == [8, 9, 18, 2]
        assert labels == [I] * 9 + [18, 2]

    def test_self_copy(self, tokenizer):
        ids, labels = rendered(tokenizer, bound(tokenizer, PAIRS, "self_copy", k=1, **OVERLAP), PAIRS[3])
        assert ids == [1, 15, 16, 21, 15, 16, 21, 2]
        assert labels == [I] * 6 + [21, 2]

    def test_loss_on_all_answers(self, tokenizer):
        ids, labels = rendered(tokenizer, bound(tokenizer, PAIRS, "similar", k=1, loss="all", **OVERLAP), PAIRS[0])
        assert ids == [1, 8, 10, 19, 8, 9, 18, 2]
        assert labels == [I, I, I, 19, I, I, 18, 2]

    def test_similar_last_and_joining(self, tokenizer):
        context = bound(
            tokenizer, PAIRS, "similar", k=3, order="similar_last", joining=" w90 ", ending=" w91 ", **OVERLAP
        )
        ids, _ = rendered(tokenizer, context, PAIRS[0])
        assert ids[-9:] == [98, 8, 10, 19, 99, 8, 9, 18, 2]
        assert ids.count(98) == 2

    def test_a_template(self, tokenizer):
        context = bound(tokenizer, PAIRS, "similar", k=1, template="w80 {{ answer }} w81 {{ input }}", **OVERLAP)
        assert rendered(tokenizer, context, PAIRS[0])[0] == [1, 88, 19, 89, 8, 10, 8, 9, 18, 2]

    def test_raft_and_batch_mix_at_their_ends(self, tokenizer):
        for policy, share, similar in (("raft", 1, 1), ("raft", 0, 0), ("batch_mix", 1, 2), ("batch_mix", 0, 0)):
            context = bound(tokenizer, PAIRS, policy, k=2, share=share, **OVERLAP)
            kinds = context.before(PAIRS[0], Moment(0, 0)).provenance["kinds"]
            assert kinds.count("similar") == similar, policy

    def test_a_paraphrase_from_a_source(self, tokenizer):
        other = [pair("p0", "w20 w21 ", "w22", source="r0")]
        context = bound(
            tokenizer,
            PAIRS,
            "paraphrase_only",
            k=1,
            paraphrases={"source": "more"},
            source=lambda name: other,
            **OVERLAP,
        )
        assert rendered(tokenizer, context, PAIRS[0])[0] == [1, 28, 29, 30, 8, 9, 18, 2]
        drawn = context.before(PAIRS[2], Moment(0, 0))  # it has none: the nearest takes its place
        assert drawn.provenance["kinds"] == ["similar"]

    def test_together_and_mixture(self, tokenizer):
        both = [{"policy": "similar", "k": 1, **OVERLAP}, {"policy": "self_copy", "k": 1, **OVERLAP}]
        context = bound(tokenizer, PAIRS, "together", policies=both)
        assert rendered(tokenizer, context, PAIRS[0])[0] == [1, 8, 10, 19, 8, 9, 18, 8, 9, 18, 2]
        assert context.longest() == sum(bound(tokenizer, PAIRS, **p).longest() for p in both)
        mixed = bound(tokenizer, PAIRS, "mixture", policies=["zero", both[0]], weights=[0, 1])
        assert rendered(tokenizer, mixed, PAIRS[0])[0] == [1, 8, 10, 19, 8, 9, 18, 2]


class TestStatistics:
    """Frequencies within five standard deviations of what was asked for; the draws are seeded."""

    @pytest.mark.parametrize(("reading", "wanted"), [("A", (0.1, 0.45, 0.45)), ("B", (0.05, 0.45, 0.5))])
    def test_kinds_of_slot_one(self, tokenizer, slots, reading, wanted):
        context = bound(tokenizer, slots, "contrastive", reading=reading, **OVERLAP)
        counts, places, n = Counter(), Counter(), 3000
        for draw in range(n):
            found = context.before(slots[draw % 190], Moment(draw // 190, 0)).provenance
            counts[found["slot_one"]] += 1
            places[found["place"]] += 1
        for kind, p in zip(("paraphrase", "similar", "random"), wanted, strict=True):
            assert abs(counts[kind] - n * p) < 5 * math.sqrt(n * p * (1 - p)), kind
        for place in range(4):
            assert abs(places[place] - n / 4) < 5 * math.sqrt(n * 3 / 16), place

    def test_stored_probabilities(self):
        found = Contrastive(eps=0.2, p=0.25, reading="A", policy="contrastive").probabilities
        assert found == pytest.approx({"paraphrase": 0.2, "similar": 0.2, "random": 0.6})

    def test_random_ones_are_uniform(self, tokenizer):
        records = [pair(f"r{i}", f"w{2 * i} w{2 * i + 1} ", "w90") for i in range(9)]
        context, n = bound(tokenizer, records, "random", k=2, **OVERLAP), 2000
        seen = Counter(e for i in range(n) for e in context.before(records[0], Moment(i, 0)).provenance["examples"])
        assert set(seen) == {f"r{i}" for i in range(1, 9)}
        assert all(abs(v - n / 4) < 5 * math.sqrt(n * 3 / 16) for v in seen.values())

    def test_number_of_mixed_shots(self, tokenizer, slots):
        context, n = bound(tokenizer, slots, "mixed_shot", k=3, **OVERLAP), 1200
        counts = Counter(len(context.before(slots[0], Moment(i, 0)).provenance["examples"]) for i in range(n))
        assert set(counts) == {0, 1, 2, 3}
        assert all(abs(v - n / 4) < 5 * math.sqrt(n * 3 / 16) for v in counts.values())

    @pytest.mark.parametrize(("policy", "key"), [("raft", "similar"), ("batch_mix", "similar")])
    def test_shares(self, tokenizer, slots, policy, key):
        context, n = bound(tokenizer, slots, policy, k=3, share=0.7, **OVERLAP), 600
        hits = sum(key in context.before(slots[i % 190], Moment(i // 190, 3)).provenance["kinds"] for i in range(n))
        assert abs(hits - 0.7 * n) < 5 * math.sqrt(n * 0.21)

    def test_the_share_that_is_edited(self, tokenizer, slots):
        context, n = bound(tokenizer, slots, "edited", share=0.3, k=2, **OVERLAP), 800
        hits = sum(context.before(slots[i % 190], Moment(i // 190, 3)).record is not None for i in range(n))
        assert abs(hits - 0.3 * n) < 5 * math.sqrt(n * 0.21)

    def test_equally_near_ones_take_turns(self, tokenizer):
        records = [pair(f"r{i}", f"w50 w{i} ", "w90") for i in range(6)] + [pair("s", "w70 w71 ", "w91")]
        context = bound(tokenizer, records, "neighbour_only", k=1, near=1, **OVERLAP)
        assert len({context.before(records[0], Moment(0, e)).provenance["examples"][0] for e in range(40)}) == 5


@pytest.mark.parametrize("policy", NAMES)
def test_pure(tokenizer, slots, policy):
    """Whatever is drawn before, in another order, by a copy in a worker; another epoch or seed draws anew."""
    records = slots[:40]
    context = bound(tokenizer, records, policy, **OVERLAP)
    copy = pickle.loads(pickle.dumps(context))
    moments = [Moment(s, e) for s in (0, 1) for e in (0, 1)]
    forth = {(r.id, m): context.before(r, m) for r in records[:8] for m in moments}
    back = {(r.id, m): copy.before(r, m) for m in reversed(moments) for r in reversed(records[:8])}
    assert forth == back
    for record in records[:8]:
        assert len({str(forth[record.id, m]) for m in moments}) > 1


@pytest.mark.parametrize("policy", NAMES)
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 39), st.integers(0, 9), st.integers(10, 120))
def test_longest_is_a_bound(tokenizer, slots, policy, row, epoch, most):
    for options in ({}, {"max_tokens": most}):
        context = bound(tokenizer, slots[:40], policy, **OVERLAP, **options)
        drawn = context.before(slots[row], Moment(0, epoch))
        tokens = sum(len(encode(s.text, tokenizer)) for s in drawn.segments)
        assert tokens <= context.longest() <= options.get("max_tokens", math.inf)


def test_before_texts_are_cut_a_bound_must_be_given(tokenizer):
    scene = Scene(tokenizer, ())
    assert parse({"policy": "similar", "max_tokens": 50}).bind(scene).longest() == 50
    with pytest.raises(UserError, match="max_tokens"):
        parse("similar").bind(scene).longest()


def test_a_share_of_the_rows_as_the_pool(tokenizer, slots):
    policy = parse({"policy": "random", "pool": 0.5, **OVERLAP})
    learned = [r for r in slots if policy.trains(r)]
    assert 0.35 < len(learned) / len(slots) < 0.65
    context = policy.bind(Scene(tokenizer, slots))
    shown = {e for r in learned for e in context.before(r, Moment(0, 0)).provenance["examples"]}
    assert shown
    assert not shown & {r.id for r in learned}


def test_a_pool_of_another_source(tokenizer):
    other = [pair(f"o{i}", f"w{30 + i} ", "w60") for i in range(5)]
    policy = parse({"policy": "random", "pool": "more", "k": 2})
    assert policy.sources() == ("more",)
    context = policy.bind(Scene(tokenizer, tuple(PAIRS), source={"more": other}.__getitem__))
    assert all(e[0] == "o" for r in PAIRS for e in context.before(r, Moment(0, 0)).provenance["examples"])


@pytest.mark.parametrize(
    "written",
    [
        "zero",
        {"policy": "similar", "similarity": {"kind": "overlap", "over": "f1"}},
        {"policy": "edited", "otherwise": {"policy": "contrastive", "similarity": {"kind": "lexical", "k1": 1.2}}},
        {
            "policy": "mixture",
            "policies": [{"policy": "zero"}, {"policy": "edited", "share": 1.0}],
            "weights": [0.6, 0.4],
        },
    ],
)
def test_written_and_read_again(written):
    made = parse(written)
    assert parse(plain(made)) == made


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"policy": "similer"}, "similar"),
        ({"policy": "similar", "kk": 3}, "kk"),
        ({"policy": "similar", "k": 0}, "k"),
        ({"policy": "similar", "fewest": 9}, "fewest is 9"),
        ({"policy": "similar", "pool": 1.5}, "a share of the rows"),
        ({"policy": "similar", "similarity": "lexicon"}, "lexical"),
        ({"policy": "similar", "similarity": {"kind": "overlap", "k1": 3}}, "k1"),
        ({"policy": "similar", "template": "{{ input }}", "loss": "all"}, "loss: target"),
        ({"policy": "contrastive", "reading": "C"}, "reading"),
        ({"policy": "contrastive", "eps": 2}, "eps"),
        ({"policy": "mixture", "policies": []}, "at least one"),
        ({"policy": "mixture", "policies": ["zero"], "weights": [1, 2]}, "1 policies, but 2 weights"),
        ({"policy": "mixture", "policies": ["zero"], "weights": [0]}, "not all 0"),
        ({"policy": "edited", "otherwise": {"share": 1}}, "key 'policy'"),
        ({"policy": "edited", "editor": "magic"}, "editor"),
    ],
)
def test_bad_options(context, said):
    value = {"model": "pocket", "data": {"d": {"world": "slots"}}, "arms": {"a": {"data": "d", "context": context}}}
    with pytest.raises(UserError) as found:
        recipe(value)
    assert said in str(found.value) + found.value.hint
    assert "Traceback" not in str(found.value)


@pytest.mark.parametrize(
    ("policy", "records", "said"),
    [
        ({"policy": "random"}, PAIRS[:1], "to draw 4 examples from"),
        ({"policy": "edited"}, PAIRS, "nothing to edit"),
        ({"policy": "edited", "editor": "slots"}, PAIRS, "nothing to edit"),
        ({"policy": "contrastive", "paraphrases": "grammar"}, PAIRS, "nothing to edit"),
        ({"policy": "contrastive", "paraphrases": "grammar", "answers": "same"}, PAIRS, "edits answers"),
        ({"policy": "contrastive", "paraphrases": "rephrase"}, PAIRS, "needs a writer"),
        ({"policy": "contrastive", "paraphrases": "rephraze"}, PAIRS, "rephraze"),
        ({"policy": "similar", "similarity": "dense"}, PAIRS, "no model"),
    ],
)
def test_bad_pools(tokenizer, policy, records, said):
    with pytest.raises(UserError, match=said):
        parse(policy).bind(Scene(tokenizer, tuple(records)))


def test_a_bad_template(tokenizer):
    with pytest.raises(UserError, match="template of an example"):
        bound(tokenizer, PAIRS, "similar", template="{{ nothing }}")


def test_a_record_that_was_not_bound(tokenizer):
    with pytest.raises(UserError, match="not known"):
        bound(tokenizer, PAIRS, "similar").before(pair("r9", "w1 ", "w2"), Moment(0, 0))


def test_an_empty_grade_is_told(tokenizer):
    said, warned = [], []
    scene = Scene(tokenizer, tuple(PAIRS), say=said.append, warn=warned.append)
    parse({"policy": "similar", **OVERLAP}).bind(scene)
    assert said == ["context similar: nearest example of each row, by overlap similarity: low 50%, medium 50%, high 0%"]
    (warning,) = warned
    assert "grade high" in warning
