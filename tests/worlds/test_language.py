"""The language of the worlds: samplers are pure, wordings and their reversals mean what they should."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.core.sequence import DrawKey
from contextune.worlds import language
from contextune.worlds.language import RELATIONS, CommandTemplate, Fact

seeds = st.integers(0, 10_000)


def test_wordings_and_questions_of_a_verb() -> None:
    fact = Fact("teach", "Kalo", "Mido")
    assert fact.wording() == "Kalo teaches Mido"
    assert fact.wording("backward") == "Mido is taught by Kalo"
    assert fact.cut("backward", 1) == ("the one that teaches Mido is", " Kalo.")
    assert fact.question("a") == ("question: who teaches Mido? answer:", " Kalo.")
    assert fact.question("b", 1) == ("question: Kalo teaches whom? answer:", " Mido.")


def test_a_comparison_is_reversed_by_its_opposite() -> None:
    fact = Fact("bright", "Kalo", "Mido")
    assert [fact.wording(), fact.wording("backward")] == ["Kalo is brighter than Mido", "Mido is less bright than Kalo"]
    assert language.operate("reversal", fact, "backward", 1) == "Kalo is brighter than Mido"
    assert language.operate("rephrase", fact, "backward", 1) == "Mido is less bright than Kalo"
    assert len(language.COMPARATIVES) == 28


@pytest.mark.parametrize("name", list(RELATIONS))
def test_every_wording_ends_with_the_side_it_does_not_begin_with(name: str) -> None:
    fact = Fact(name, "Kalo", "Mido")
    for side, last in (("forward", "Mido"), ("backward", "Kalo")):
        for variant in (0, 1):
            text = fact.wording(side, variant)
            assert text.endswith(f" {last}")
            assert text.count("Kalo") == text.count("Mido") == 1
            prompt, answer = fact.cut(side, variant)
            assert prompt + answer == f"{text}."
    for asked, known in (("a", "Mido"), ("b", "Kalo")):
        for variant in (0, 1):
            prompt, answer = fact.question(asked, variant)
            assert known in prompt
            assert answer.strip(" .") not in prompt


@given(seeds)
def test_operations_undo_themselves(seed: int) -> None:
    rng = random.Random(seed)
    fact = language.fact(rng, rng.choice(list(RELATIONS.values())))
    for side in ("forward", "backward"):
        other = "backward" if side == "forward" else "forward"
        assert language.operate("reversal", fact, side) == fact.wording(other)
        assert language.operate("rephrase", fact, side, 1) == fact.wording(side)
        assert language.operate("copy", fact, side, 1) == fact.wording(side, 1)


@given(seeds)
def test_samplers_are_pure_and_names_are_apart(seed: int) -> None:
    def draw() -> tuple[list[str], list[str], str, CommandTemplate]:
        rng = DrawKey(seed, 0).rng("language")
        some = language.names(rng, 9)
        others = language.names(rng, 9, test=False, without=some)
        return some, others, language.description(rng), language.template(rng)

    test, train, _, _ = drawn = draw()
    assert drawn == draw()
    assert len({*test, *train}) == 18
    assert all(map(language.reserved, test))
    assert not any(map(language.reserved, train))


def test_reserved_names_are_a_fifth_and_their_syllables_stand_elsewhere() -> None:
    test, train = language.all_names(True), language.all_names(False)
    assert 0.18 < len(test) / len(test + train) < 0.22
    assert not set(test) & set(train)
    # a reserved name's halves must be trained through other names
    assert {s.capitalize() for s in language.SYLLABLES} <= {n[: _first(n)] for n in train}
    assert set(language.SYLLABLES) <= {n[_first(n) :] for n in train}


def _first(name: str) -> int:
    return 1 + min(i for i, letter in enumerate(name) if letter in "aeiou")


@pytest.mark.parametrize("form", range(len(language.SYLLOGISMS)))
def test_syllogisms_are_valid_and_no_stronger_statement_follows(form: int) -> None:
    """Against all models over three sets: a subset of the eight kinds of thing, none of the sets empty."""
    drawn = language.syllogism("smp", form)
    models = [[kinds for kinds in range(8) if mask >> kinds & 1] for mask in range(256)]
    models = [m for m in models if all(any(k >> i & 1 for k in m) for i in range(3))]
    models = [m for m in models if all(_holds(p, m) for p in drawn.premises)]
    assert models
    assert all(_holds(drawn.conclusion, m) for m in models)
    stronger = {"all": [], "some": ["all", "no"], "no": ["all", "some"]}[drawn.conclusion.relation]
    for quantifier in stronger:
        assert not all(_holds(Fact(quantifier, "s", "p"), m) for m in models)
    assert len(set(drawn.candidates())) == 6
    assert drawn.candidates().count(drawn.conclusion.wording()) == 1


def _holds(fact: Fact, kinds: list[int]) -> bool:
    a, b = "smp".index(fact.a), "smp".index(fact.b)
    of_a = [k >> b & 1 for k in kinds if k >> a & 1]
    return {"all": all(of_a), "some": any(of_a), "no": not any(of_a)}[fact.relation]


def test_a_template_lists_its_slots_in_its_own_order() -> None:
    template = CommandTemplate("send", ("to", "by"), (2, 0, 1))
    prompt, answer = language.transform(template.command("xyz"), template.frame("xyz"))
    assert prompt + answer == "input: send x to y by z output: [by z, send x, to y]."


def test_common_facts_have_one_answer_each() -> None:
    facts = language.common_facts()
    assert len(dict(facts)) == len(facts)
    assert ("the opposite of hot is", " cold.") in facts
    assert all(answer.startswith(" ") and not prompt.endswith(" ") for prompt, answer in facts)
