"""The reader and reasoner that worlds are checked by, itself checked against worked examples."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.worlds import grammar, language
from contextune.worlds.language import Fact
from contextune.worlds.solve import Knowledge, read, sentence

SYMMETRIC = ("some", "no")


def judge(texts: str, statement: str) -> bool | None:
    fact = sentence(statement)
    assert fact is not None
    return Knowledge(read(texts)).judge(fact)


@given(st.integers(0, 10**6), st.sampled_from(sorted(language.RELATIONS)), st.integers(0, 1))
def test_every_wording_is_read_back(seed, name, variant):
    fact = language.fact(random.Random(seed), language.RELATIONS[name])
    for side in grammar.SIDES:
        told = grammar.Told(fact, side, variant)
        swapped = Fact(name, fact.b, fact.a)
        found = [*read(told.sentence("of course,")), *read("".join(told.question()))]
        assert len(found) == 2
        assert all(f == fact or (name in SYMMETRIC and f == swapped) for f in found)


def test_texts_in_styles():
    text = "about Kalo and Mido:\n- Kalo has a long red tail.\n"
    text += "Mido is the painter of the silver bridge. this is nothing.\n"
    text += "the relations of Kalo and Mido: all Kalo are Mido.\nquestion: who teaches Mido? answer: Rune."
    assert list(read(text)) == [
        Fact("has", "Kalo", "a long red tail"),
        Fact("described", "Mido", "the painter of the silver bridge"),
        Fact("all", "Kalo", "Mido"),
        Fact("teach", "Rune", "Mido"),
    ]


# every pair of premises of the language's forms, and what follows from the first to the last term
FORMS = [
    ("all Kalo are Mido. all Mido are Rune.", "all Kalo are Rune", True),
    ("all Kalo are Mido. all Mido are Rune.", "all Rune are Kalo", None),
    ("all Kalo are Mido. all Mido are Rune.", "some Kalo are Rune", None),  # terms may be empty
    ("all Kalo are Mido. no Mido are Rune.", "no Kalo are Rune", True),
    ("all Kalo are Mido. no Rune are Mido.", "no Rune are Kalo", True),
    ("all Kalo are Mido. no Rune are Mido.", "some Kalo are Rune", False),
    ("no Kalo are Mido. all Rune are Mido.", "no Kalo are Rune", True),
    ("no Mido are Kalo. all Rune are Mido.", "no Kalo are Rune", True),
    ("no Mido are Kalo. all Mido are Rune.", "no Kalo are Rune", None),  # a fallacy
    ("some Kalo are Mido. all Mido are Rune.", "some Kalo are Rune", True),
    ("some Kalo are Mido. all Mido are Rune.", "no Rune are Kalo", False),
    ("some Kalo are Mido. some Mido are Rune.", "some Kalo are Rune", None),
    ("some Mido are Kalo. all Mido are Rune.", "some Rune are Kalo", True),
    ("all Mido are Kalo. some Mido are Rune.", "some Kalo are Rune", True),
    ("all Mido are Kalo. all Mido are Rune.", "some Kalo are Rune", None),  # needs that there is a Mido
    ("all Kalo are Mido. all Rune are Mido.", "all Kalo are Rune", None),
    ("some Kalo are Mido. no Mido are Rune.", "all Kalo are Rune", False),
    ("some Kalo are Mido. no Mido are Rune.", "no Kalo are Rune", None),
]


@pytest.mark.parametrize(("premises", "statement", "expected"), FORMS)
def test_syllogisms(premises, statement, expected):
    assert judge(premises, statement) is expected


@pytest.mark.parametrize(
    ("texts", "statement", "expected"),
    [
        ("Kalo is brighter than Mido.", "Mido is not as bright as Kalo", True),
        ("Kalo is brighter than Mido.", "Mido is more bright than Kalo", False),
        ("Kalo is brighter than Mido.", "Mido is less heavy than Kalo", None),
        ("Kalo is brighter than Mido. Rune is less bright than Mido.", "Kalo is more bright than Rune", True),
        ("Kalo teaches Mido.", "the one that teaches Mido is Kalo", True),
        ("Kalo teaches Mido.", "Mido teaches Kalo", None),
        ("Kalo is a kind of Mido. Mido counts as Rune.", "Rune includes Kalo", True),
        ("Kalo is a kind of Mido. Mido counts as Rune.", "Kalo includes Rune", None),
        ("Kalo is a kind of Mido. Mido has Rune.", "Kalo comes with Rune", True),
        ("Kalo is a kind of Mido. Kalo has Rune.", "Mido has Rune", None),
        ("Kalo is the owner of the red lamp.", "the owner of the red lamp is called Kalo", True),
    ],
)
def test_judgements(texts, statement, expected):
    assert judge(texts, statement) is expected


def test_contradictory_premises_are_refused():
    with pytest.raises(ValueError, match="contradict"):
        judge("some Kalo are Mido. no Kalo are Mido.", "all Kalo are Mido")
