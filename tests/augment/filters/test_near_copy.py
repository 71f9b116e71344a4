from __future__ import annotations

import pytest

from tests.augment.filters.made import SOURCE, judge, made

LONG = "The enzyme that Mira found in the deep lake near the old town works best at 37 degrees and at a low pH."


@pytest.mark.parametrize(
    ("text", "source", "reason"),
    [
        ("Mido is less bright than Kalo.", SOURCE, ""),
        ("Mido is brighter than Kalo.", "Kalo is brighter than Mido.", ""),  # wrong, but no near copy
        ("People say that Kalo is brighter than Mido", SOURCE, "its source again"),
        ("  people  say that Kalo is brighter than Mido.", SOURCE, "its source again"),
        ("Kalo is brighter than Mido.", SOURCE, "a part of its source"),
        (LONG.replace("works", "functions"), LONG, "nearly its source again"),
        (LONG.replace("37", "38"), LONG, ""),
        (LONG.replace("Mira", "Zeno"), LONG, ""),
        ("At a low pH and at 37 degrees works best what Mira found in a lake.", LONG, ""),
        ("...", SOURCE, ""),
    ],
)
def test_near_copy(text, source, reason):
    assert judge("near_copy", [made(text, source)]) == [reason]


def test_the_threshold_decides():
    near = made(LONG.replace("works", "functions"), LONG)
    assert judge("near_copy", [near], threshold=0.99) == [""]


def test_a_question_before_the_text_makes_it_another_one():
    assert judge("near_copy", [made(" Kalo.", prompt="question: who is brighter than Mido? answer:")]) == [""]


LOGGED = "While some features of our mice were similar, other phenotypic aspects were largely distinct."


@pytest.mark.parametrize(
    ("text", "source", "reason"),
    [
        ("Some phenotypic aspects were largely distinct.", LOGGED, "its source with words left out"),
        ("07:00 is 19:00.", "All mice had lights on at 07:00 and off at 19:00.", "its source with words left out"),
        ("Distinct were other phenotypic aspects.", LOGGED, ""),
        ("Some phenotypic traits were largely distinct.", LOGGED, ""),
        ("Mido is less bright than Kalo.", SOURCE, ""),
        ("It is.", SOURCE, ""),
    ],
)
def test_in_order_refuses_a_passage_with_words_left_out(text, source, reason):
    assert judge("near_copy", [made(text, source)], in_order=True) == [reason]
    assert judge("near_copy", [made(text, source)]) == [""]
