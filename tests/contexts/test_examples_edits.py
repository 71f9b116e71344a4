"""Edited contexts: the answer follows from what is shown, and from nothing that was trained."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from contextune import worlds
from contextune.contexts import compose, parse
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Segment, render
from contextune.data.token_counts import lengths
from contextune.experiment.accounting import account
from contextune.worlds import solve
from contextune.worlds.extensions.editors import Cipher, Slots

AT = [DrawKey(0, e) for e in range(3)]


def pair(id: str, question: str, answer: str) -> Record:
    return Record(id, (Segment(question, "context"), Segment(answer, "target")), id)


def bound(tokenizer, records, **options):
    policy = parse({"policy": "counterfactual", "share": 1, "k": 3, **options})
    return policy.bind(BindContext(tokenizer, tuple(records)))


def shown(drawn) -> str:
    return "".join(s.text for s in drawn.segments)


def records_of(name):
    return worlds.build(name, size="small").records["train"]


def test_slots(tokenizer):
    """Values stay, the order changes, and one example of the same template has the new order."""
    records = records_of("slots")
    context, reader = bound(tokenizer, records), Slots(SimpleNamespace(records=()))
    for record in records[:30]:
        for at in AT:
            drawn = context.draw(record, at)
            marks, values, order = reader.read(drawn.record)
            assert (marks, values) == reader.read(record)[:2]
            assert order != reader.read(record)[2]
            examples = [pair("e", *line.split(" output:")) for line in shown(drawn).splitlines()]
            read = [reader.read(pair("e", f"{e.segments[0].text} output:", e.target)) for e in examples]
            alike = [r for r in read if r[0] == marks]
            assert alike
            assert all(r[2] == order and r[1] != values for r in alike)
            assert record.target.strip() not in shown(drawn)


def test_cipher(tokenizer):
    """One word has a code that nothing trained gives it, and an example shows that."""
    records = records_of("cipher")
    context, reader = bound(tokenizer, records), Cipher(SimpleNamespace(records=records))
    for record in records[:30]:
        drawn = context.draw(record, DrawKey(0, 0))
        old, new = reader.read(record), reader.read(drawn.record)
        (word,) = [w for w in old if old[w] != new[w]]
        assert new[word] not in reader.codes[word]
        examples = [line.split(" output:") for line in shown(drawn).splitlines()]
        read = [reader.read(pair("e", f"{given} output:", answer)) for given, answer in examples]
        assert {r[word] for r in read if word in r} == {new[word]}


@pytest.mark.parametrize("world", ["reversals", "descriptions", "semantic"])
def test_facts(tokenizer, world):
    """What is asked is told in the context, and no training text tells it."""
    records = records_of(world)
    trained = {f for r in records for f in solve.read(r.target)}
    context = bound(tokenizer, records)
    for record in records[:40]:
        drawn = context.draw(record, DrawKey(0, 0))
        (asked,) = solve.read("".join(s.text for s in drawn.record.segments))
        told = list(solve.read(shown(drawn)))
        assert asked in told
        assert not set(told) & trained
        ends = [side for fact in told for side in (fact.a, fact.b)]
        assert {ends.count(asked.a), ends.count(asked.b)} == {1}  # nothing else is said of either


def test_facts_are_asked_from_both_sides(tokenizer):
    record = records_of("reversals")[0]
    context = bound(tokenizer, records_of("reversals"))
    asked = [context.draw(record, DrawKey(0, e)).record for e in range(60)]
    assert any("question" in r.segments[0].text for r in asked)
    assert any("less" in r.segments[0].text or "not as" in r.segments[0].text for r in asked)
    assert all(r.segments[0].role == "context" and r.segments[1].role == "target" for r in asked)


def test_labels(tokenizer):
    records = [pair(f"r{i}", f"w{i} w{i + 20} ", ("good", "bad", "fair")[i % 3]) for i in range(12)]
    context = bound(tokenizer, records, k=4, max_random_similarity=None)
    true = {r.segments[0].text: r.target for r in records}
    for record in records:
        drawn = context.draw(record, DrawKey(0, 0))
        turned = {}
        for line in shown(drawn).splitlines():
            given, _, label = line.rpartition(" ")
            assert turned.setdefault(true[f"{given} "], label) == label  # one permutation for all
        assert turned[record.target] == drawn.record.target != record.target


def test_entities(tokenizer):
    """The name of the answer changes wherever it stands."""
    records = [
        pair("a", "The capital of Peru is ", "the city Lima."),
        pair("b", "Where is the capital of Peru, do you know? It is ", "in Lima."),
        pair("c", "The river that runs past Oslo is ", "the Akerselva."),
        pair("d", "We saw Quito and Lima and found ", "that Quito is high."),
        pair("e", "Something else stands here: ", "nothing."),
        pair("f", "The capital of Cuba is ", "the city Havana."),  # of the type of a's name
        pair("g", "We saw Bergen and Pisa and found ", "that Bergen is flat."),  # of the type of d's
    ]
    context = bound(tokenizer, records, similarity="overlap", max_random_similarity=None, min_edited=0.4)
    drawn = [context.draw(records[0], DrawKey(0, e)) for e in range(6)]
    for d in drawn:
        new = d.provenance["edit"]["to"]
        assert d.record.target == f"the city {new}."
        assert "Lima" not in shown(d)
        assert new in shown(d)
    inside = context.draw(records[3], DrawKey(0, 0)).record  # it tells the name itself
    name = inside.target.split()[1]
    assert name != "Quito"
    assert inside.segments[0].text == f"We saw {name} and Lima and found "
    assert context.draw(records[4], DrawKey(0, 0)).record is None  # nothing to edit: left to the other policy


def test_what_is_learned_is_counted(tokenizer):
    """Accounting agrees with what is rendered, where targets were replaced and where answers are trained on."""
    records = records_of("slots")[:24]
    known = lengths(records, tokenizer)
    for options in ({}, {"loss": "all"}, {"otherwise": "none", "share": 0.5}):
        policy = parse({"policy": "counterfactual", "share": 1, "k": 2, **options})
        ready = SimpleNamespace(
            stage=SimpleNamespace(sources=("d",), context=policy), records=records, origins=["d"] * len(records),
            context=policy.bind(BindContext(tokenizer, records)), train=SimpleNamespace(max_length=60), augmented=None,
            plan=lambda seed: SimpleNamespace(updates=1, draws=1, times=lambda: [1] * len(records)),
        )  # fmt: skip
        prepared = SimpleNamespace(
            recipe=SimpleNamespace(seeds=(0,)), tokenizer=tokenizer, lengths=lambda name: known,
            large=lambda name: False,
            records={"d": SimpleNamespace(records=records, dropped=0)}, documents={"d": SimpleNamespace(duplicates=0)},
            kept={},
        )  # fmt: skip
        (row,) = account(prepared, ready, "arm", 0)
        made = [compose(r, ready.context, DrawKey(0, 0)) for r in records]
        out = [render(s, tokenizer, 200) for s in made]
        assert row["trained"] == sum(o.trained for o in out)
        assert row["context"] + row["cut"] == sum(len(o) - o.trained for o in out)
