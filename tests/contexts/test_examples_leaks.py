"""Nothing that says what a record says stands in its own context, whatever the policy draws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune import worlds
from contextune.contexts import parse
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Segment
from contextune.core.text import normal as normalised
from contextune.retrieval import given as visible
from contextune.retrieval.guard import stem

SHOWING = ["random", "similar", "contrastive", "batch_mix", "mixed_shot", "raft", "paraphrase_only", "neighbour_only"]
words = st.lists(st.sampled_from([f"w{i}" for i in range(6)]), min_size=1, max_size=4)


@st.composite
def pools(draw):
    """Pairs and texts full of duplicates, repeats, and texts that were made from one another."""
    records = []
    for i in range(draw(st.integers(3, 9))):
        question, answer = " ".join(draw(words)), " ".join(draw(words))
        source = draw(st.one_of(st.none(), st.integers(0, 8)))
        fields = {} if source is None else {"source": f"r{source}"}
        name = draw(st.sampled_from([f"r{i}", f"r{i}+2", f"r{i}/1"]))
        case = draw(st.sampled_from([str, str.upper, lambda s: f" {s}  "]))
        before = (Segment(case(question) + " ", "context"),) if draw(st.booleans()) else ()
        records.append(Record(name, (*before, Segment(answer, "target")), name, fields=fields))
    return records


def family(record: Record) -> set[str]:
    return {stem(record.id), *([record.fields["source"]] if "source" in record.fields else [])}


@pytest.mark.parametrize("policy", SHOWING)
@pytest.mark.parametrize("similarity", ["lexical", "overlap"])
@settings(max_examples=30, deadline=None)
@given(pools(), st.integers(0, 5))
def test_no_record_sees_itself(tokenizer, policy, similarity, records, epoch):
    options = {"paraphrases": "none"} if policy in ("contrastive", "paraphrase_only") else {}
    chosen = parse({"policy": policy, "similarity": similarity, "max_random_similarity": None, **options})
    context = chosen.bind(BindContext(tokenizer, tuple(records)))
    known = {r.id: r for r in records}
    for record in records:
        drawn = context.draw(record, DrawKey(0, epoch)).provenance
        assert len(set(drawn["examples"])) == len(drawn["examples"])
        for name, s in zip(drawn["examples"], drawn["similarities"], strict=True):
            other = known[name]
            assert not family(other) & family(record)
            assert normalised(visible(other)) != normalised(visible(record))
            assert 0 <= s <= 1
            answers = {
                normalised(r.target) if any(x.role == "context" for x in r.segments) else "" for r in (other, record)
            }
            assert s < 0.9 or len(answers) == 2


@pytest.mark.parametrize("world", ["reversals", "descriptions"])
@pytest.mark.parametrize("policy", ["similar", "random"])
def test_other_wordings_of_a_fact(tokenizer, world, policy):
    """Each fact stands in several texts; none of them before another."""
    records = worlds.build(world, size="small").records["train"]
    context = parse({"policy": policy, "k": 6}).bind(BindContext(tokenizer, records))
    key = "fact" if world == "reversals" else "person"
    fact = {r.id: r.fields[key] for r in records}
    for record in records[:60]:
        drawn = context.draw(record, DrawKey(0, 0)).provenance["examples"]
        assert len(drawn) == 6
        assert record.fields[key] not in {fact[e] for e in drawn}


def test_only_the_control_sees_itself(tokenizer):
    records = [Record(f"r{i}", (Segment(f"w{i} ", "context"), Segment("w9", "target"))) for i in range(6)]
    context = parse({"policy": "self_copy", "k": 3}).bind(BindContext(tokenizer, tuple(records)))
    for record in records:
        assert context.draw(record, DrawKey(0, 0)).provenance["examples"].count(record.id) == 1
