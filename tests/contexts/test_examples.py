"""Contexts of solved examples: exact tokens, sampler statistics, purity, bounds, bad input."""

from __future__ import annotations

import math
import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune import worlds
from contextune.contexts import Contrastive, bind_policy, compose, parse
from contextune.contexts.combine import Joined
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment, render
from contextune.experiment.recipe import parse as recipe
from contextune.train.dataset import ContextDataset

I = -100  # noqa: E741
OVERLAP = {"similarity": "overlap"}
NAMES = [
    "random", "similar", "contrastive", "batch_mix", "mixed_shot", "raft", "paraphrase_only", "neighbour_only",
    "self_copy", "counterfactual",
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
    return parse({"policy": policy, **options}).bind(BindContext(tokenizer, tuple(records), source=source))


def most(context) -> int:
    """Tokens that a bound policy of examples draws at most."""
    if isinstance(context, Joined):
        return sum(map(most, context.contexts))
    return getattr(context, "showing", context).most


def rendered(tokenizer, context, record):
    made = render(compose(record, context, DrawKey(0, 0)), tokenizer)
    return list(made.ids), list(made.labels)


class TestTokens:
    """<s> is 1, </s> is 2."""

    def test_none(self, tokenizer):
        ids, labels = rendered(tokenizer, bound(tokenizer, PAIRS, "none"), PAIRS[0])
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

    def test_similar_last_and_separator(self, tokenizer):
        context = bound(
            tokenizer, PAIRS, "similar", k=3, order="similar_last", separator=" w90 ", ending=" w91 ", **OVERLAP
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
            kinds = context.draw(PAIRS[0], DrawKey(0, 0)).provenance["kinds"]
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
        drawn = context.draw(PAIRS[2], DrawKey(0, 0))  # it has none: the nearest takes its place
        assert drawn.provenance["kinds"] == ["similar"]

    def test_concat_and_mixture(self, tokenizer):
        both = [{"policy": "similar", "k": 1, **OVERLAP}, {"policy": "self_copy", "k": 1, **OVERLAP}]
        context = bound(tokenizer, PAIRS, "concat", policies=both)
        assert rendered(tokenizer, context, PAIRS[0])[0] == [1, 8, 10, 19, 8, 9, 18, 8, 9, 18, 2]
        assert most(context) == sum(most(bound(tokenizer, PAIRS, **p)) for p in both)
        held = [{**p, "max_tokens": n} for p, n in zip(both, (50, 7), strict=True)]
        assert parse({"policy": "concat", "policies": held}).max_context_tokens(tokenizer) == 57
        assert parse({"policy": "mixture", "policies": held}).max_context_tokens(tokenizer) == 50
        assert parse({"policy": "concat", "policies": [*held, both[0]]}).max_context_tokens(tokenizer) is None
        mixed = bound(tokenizer, PAIRS, "mixture", policies=["none", both[0]], weights=[0, 1])
        assert rendered(tokenizer, mixed, PAIRS[0])[0] == [1, 8, 10, 19, 8, 9, 18, 2]


class TestStatistics:
    """Frequencies within five standard deviations of what was asked for; the draws are seeded."""

    @pytest.mark.parametrize(("reading", "wanted"), [("A", (0.1, 0.45, 0.45)), ("B", (0.05, 0.45, 0.5))])
    def test_kinds_of_slot_one(self, tokenizer, slots, reading, wanted):
        context = bound(tokenizer, slots, "contrastive", reading=reading, **OVERLAP)
        counts, places, n = Counter(), Counter(), 3000
        for draw in range(n):
            found = context.draw(slots[draw % 190], DrawKey(draw // 190, 0)).provenance
            counts[found["slot_one"]] += 1
            places[found["place"]] += 1
        for kind, p in zip(("paraphrase", "similar", "random"), wanted, strict=True):
            assert abs(counts[kind] - n * p) < 5 * math.sqrt(n * p * (1 - p)), kind
        for place in range(4):
            assert abs(places[place] - n / 4) < 5 * math.sqrt(n * 3 / 16), place

    def test_stored_probabilities(self):
        found = Contrastive(eps=0.2, p=0.25, reading="A").probabilities
        assert found == pytest.approx({"paraphrase": 0.2, "similar": 0.2, "random": 0.6})

    def test_random_ones_are_uniform(self, tokenizer):
        records = [pair(f"r{i}", f"w{2 * i} w{2 * i + 1} ", "w90") for i in range(9)]
        context, n = bound(tokenizer, records, "random", k=2, **OVERLAP), 2000
        seen = Counter(e for i in range(n) for e in context.draw(records[0], DrawKey(i, 0)).provenance["examples"])
        assert set(seen) == {f"r{i}" for i in range(1, 9)}
        assert all(abs(v - n / 4) < 5 * math.sqrt(n * 3 / 16) for v in seen.values())

    def test_number_of_mixed_shots(self, tokenizer, slots):
        context, n = bound(tokenizer, slots, "mixed_shot", k=3, **OVERLAP), 1200
        counts = Counter(len(context.draw(slots[0], DrawKey(i, 0)).provenance["examples"]) for i in range(n))
        assert set(counts) == {0, 1, 2, 3}
        assert all(abs(v - n / 4) < 5 * math.sqrt(n * 3 / 16) for v in counts.values())

    @pytest.mark.parametrize(("policy", "key"), [("raft", "similar"), ("batch_mix", "similar")])
    def test_shares(self, tokenizer, slots, policy, key):
        context, n = bound(tokenizer, slots, policy, k=3, share=0.7, **OVERLAP), 600
        hits = sum(key in context.draw(slots[i % 190], DrawKey(i // 190, 3)).provenance["kinds"] for i in range(n))
        assert abs(hits - 0.7 * n) < 5 * math.sqrt(n * 0.21)

    def test_the_share_that_is_edited(self, tokenizer, slots):
        context, n = bound(tokenizer, slots, "counterfactual", share=0.3, k=2, **OVERLAP), 800
        hits = sum(context.draw(slots[i % 190], DrawKey(i // 190, 3)).record is not None for i in range(n))
        assert abs(hits - 0.3 * n) < 5 * math.sqrt(n * 0.21)

    def test_equally_near_ones_take_turns(self, tokenizer):
        records = [pair(f"r{i}", f"w50 w{i} ", "w90") for i in range(6)] + [pair("s", "w70 w71 ", "w91")]
        context = bound(tokenizer, records, "neighbour_only", k=1, duplicate_threshold=1, **OVERLAP)
        assert len({context.draw(records[0], DrawKey(0, e)).provenance["examples"][0] for e in range(40)}) == 5


@pytest.mark.parametrize("policy", NAMES)
def test_pure(tokenizer, slots, policy):
    """Whatever is drawn before, in another order, by a copy in a worker; another epoch or seed draws anew."""
    records = slots[:40]
    context = bound(tokenizer, records, policy, **OVERLAP)
    copy = pickle.loads(pickle.dumps(context))
    keys = [DrawKey(s, e) for s in (0, 1) for e in (0, 1)]
    forth = {(r.id, m): context.draw(r, m) for r in records[:8] for m in keys}
    back = {(r.id, m): copy.draw(r, m) for m in reversed(keys) for r in reversed(records[:8])}
    assert forth == back
    for record in records[:8]:
        assert len({str(forth[record.id, m]) for m in keys}) > 1


@pytest.mark.parametrize("policy", NAMES)
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 39), st.integers(0, 9), st.integers(10, 120))
def test_the_most_tokens_are_a_bound(tokenizer, slots, policy, row, epoch, limit):
    for options in ({}, {"max_tokens": limit}):
        context = bound(tokenizer, slots[:40], policy, **OVERLAP, **options)
        drawn = context.draw(slots[row], DrawKey(0, epoch))
        tokens = sum(len(encode(s.text, tokenizer)) for s in drawn.segments)
        assert tokens <= most(context) <= options.get("max_tokens", math.inf)
        promised = parse({"policy": policy, **OVERLAP, **options})
        assert promised.max_context_tokens(tokenizer) == options.get("max_tokens")
        held = bind_policy(promised, BindContext(tokenizer, tuple(slots[:40])))
        assert held.draw(slots[row], DrawKey(0, epoch)).limit == options.get("max_tokens")


def test_before_texts_are_cut_a_bound_must_be_given(tokenizer):
    assert parse({"policy": "similar", "max_tokens": 50}).max_context_tokens(tokenizer) == 50
    assert parse("similar").max_context_tokens(tokenizer) is None
    with pytest.raises(UserError, match="max_tokens"):
        ContextDataset(["w0 w1", "w2 w3"], "similar", tokenizer=tokenizer)


def test_a_share_of_the_rows_as_the_pool(tokenizer, slots):
    policy = parse({"policy": "random", "pool": 0.5, **OVERLAP})
    learned = [r for r in slots if policy.is_target(r)]
    assert 0.35 < len(learned) / len(slots) < 0.65
    context = policy.bind(BindContext(tokenizer, slots))
    shown = {e for r in learned for e in context.draw(r, DrawKey(0, 0)).provenance["examples"]}
    assert shown
    assert not shown & {r.id for r in learned}


def test_a_pool_of_another_source(tokenizer):
    other = [pair(f"o{i}", f"w{30 + i} ", "w60") for i in range(5)]
    policy = parse({"policy": "random", "pool": "more", "k": 2})
    assert policy.sources() == ("more",)
    context = policy.bind(BindContext(tokenizer, tuple(PAIRS), source={"more": other}.__getitem__))
    assert all(e[0] == "o" for r in PAIRS for e in context.draw(r, DrawKey(0, 0)).provenance["examples"])


@pytest.mark.parametrize(
    "written",
    [
        "none",
        {"policy": "similar", "similarity": {"kind": "overlap", "over": "f1"}},
        {
            "policy": "counterfactual",
            "otherwise": {"policy": "contrastive", "similarity": {"kind": "lexical", "k1": 1.2}},
        },
        {
            "policy": "mixture",
            "policies": [{"policy": "none"}, {"policy": "counterfactual", "share": 1.0}],
            "weights": [0.6, 0.4],
        },
    ],
)
def test_written_and_read_again(written):
    made = parse(written)
    assert parse(made.plain()) == made


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"policy": "similer"}, "similar"),
        ({"policy": "similar", "kk": 3}, "kk"),
        ({"policy": "similar", "k": 0}, "k"),
        ({"policy": "similar", "min_k": 9}, "min_k is 9"),
        ({"policy": "similar", "pool": 1.5}, "a share of the rows"),
        ({"policy": "similar", "similarity": "lexicon"}, "lexical"),
        ({"policy": "similar", "similarity": {"kind": "overlap", "k1": 3}}, "k1"),
        ({"policy": "similar", "template": "{{ input }}", "loss": "all"}, "loss: target"),
        ({"policy": "contrastive", "reading": "C"}, "reading"),
        ({"policy": "contrastive", "eps": 2}, "eps"),
        ({"policy": "mixture", "policies": []}, "at least one"),
        ({"policy": "mixture", "policies": ["none"], "weights": [1, 2]}, "1 policies, but 2 weights"),
        ({"policy": "mixture", "policies": ["none"], "weights": [0]}, "not all 0"),
        ({"policy": "counterfactual", "otherwise": {"share": 1}}, "key 'policy'"),
        ({"policy": "counterfactual", "editor": "magic"}, "editor"),
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
        ({"policy": "counterfactual"}, PAIRS, "nothing to edit"),
        ({"policy": "counterfactual", "editor": "slots"}, PAIRS, "nothing to edit"),
        ({"policy": "contrastive", "paraphrases": "grammar"}, PAIRS, "nothing to edit"),
        ({"policy": "contrastive", "paraphrases": "grammar", "answers": "same"}, PAIRS, "edits answers"),
        ({"policy": "contrastive", "paraphrases": "rephrase"}, PAIRS, "needs a writer"),
        ({"policy": "contrastive", "paraphrases": "rephraze"}, PAIRS, "rephraze"),
        ({"policy": "similar", "similarity": "dense"}, PAIRS, "no model"),
    ],
)
def test_bad_pools(tokenizer, policy, records, said):
    with pytest.raises(UserError, match=said):
        parse(policy).bind(BindContext(tokenizer, tuple(records)))


def test_a_bad_template(tokenizer):
    with pytest.raises(UserError, match="template of an example"):
        bound(tokenizer, PAIRS, "similar", template="{{ nothing }}")


def test_a_record_that_was_not_bound(tokenizer):
    with pytest.raises(UserError, match="not known"):
        bound(tokenizer, PAIRS, "similar").draw(pair("r9", "w1 ", "w2"), DrawKey(0, 0))


def test_an_empty_grade_is_told(tokenizer):
    said, warned = [], []
    context = BindContext(tokenizer, tuple(PAIRS), say=said.append, warn=warned.append)
    parse({"policy": "similar", **OVERLAP}).bind(context)
    assert said == ["context similar: nearest example of each row, by overlap similarity: low 50%, medium 50%, high 0%"]
    (warning,) = warned
    assert "grade high" in warning
