from __future__ import annotations

import pytest

from contextune.augment.base import Inferred, Passage
from tests.augment.filters.made import SOURCE, context, judge, made

BIO = "Mitochondria make about 32 molecules of ATP for each glucose molecule, as Mitchell found in 1961."


@pytest.mark.parametrize(
    ("text", "source", "goes"),
    [
        ("Mido is less bright than Kalo.", SOURCE, False),
        ("Rune is less bright than Kalo.", SOURCE, True),  # at the beginning
        ("Mido is less bright than Rune.", SOURCE, True),  # within
        ("it is known that Mido is less bright than Kalo.", SOURCE, False),
        ("However, Mitochondria make ATP.", BIO, False),
        ("Molecules of ATP, about 32, come from glucose.", BIO, False),
        ("Glucose gives ATP.", BIO, False),
        ("Mitchell's finding was about ATP.", BIO, False),
        ("Krebs found that glucose gives ATP.", BIO, True),
        ("Mitchell found in 1967 that glucose gives ATP.", BIO, True),
        ("About 36 molecules come from glucose.", BIO, True),
        ("About thirty-two molecules come from glucose, I think.", BIO, False),
        ("It has 2 sides.", "It has two sides.", False),
        ("It costs 1000.", "It costs 1,000.", False),
        ("The ATP-glucose link is old.", BIO, False),
        ("", SOURCE, False),
    ],
)
def test_unsupported_entities(text, source, goes):
    reason = "names what its sources lack" if goes else ""
    assert judge("unsupported_entities", [made(text, source)], context(source)) == [reason]


def test_what_the_writer_read_may_be_named():
    assert judge("unsupported_entities", [made("Mido is duller than Rune.", read="Rune is bright.")]) == [""]
    before = Inferred("Rune is old.", Passage("a/1", "it is old.", "a", before="Rune came."), "reversal/1")
    assert judge("unsupported_entities", [before]) == [""]


def test_a_question_is_looked_at_too():
    asked = made(" Kalo.", prompt="question: who is brighter than Zeno? answer:")
    assert judge("unsupported_entities", [asked]) != [""]


def test_a_few_may_be_allowed():
    assert judge("unsupported_entities", [made("Mido met Rune.")], allowed=1) == [""]
