from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.filters.made import context, judge, made

LONG = "the enzyme that Mira found in the deep lake near the old town works best at 37 degrees and at a low pH"
OF_MADE, OF_ORIGINAL, NEAR = "duplicate of a made text", "duplicate of an original", "near-duplicate of a made text"


@pytest.mark.parametrize(
    ("texts", "reasons"),
    [
        (["Mido is less bright than Kalo.", "Mido is less bright than Kalo."], ["", OF_MADE]),
        (["Mido is less bright than Kalo.", " mido is LESS bright than kalo"], ["", OF_MADE]),
        (["Mido is less bright than Kalo.", "Mido is less bright than Rune."], ["", ""]),
        (["Kalo teaches Mido.", "Mido teaches Kalo."], ["", ""]),
        (["x is 5", "x is -5"], ["", ""]),
        ([LONG, LONG + ", too."], ["", NEAR]),
        ([LONG, LONG.replace("37", "38")], ["", ""]),  # says something else
        ([LONG + " for Kalo and Mido", LONG + " for Mido and Kalo"], ["", ""]),
        (["people say that Kalo is brighter than Mido!"], [OF_ORIGINAL]),
        (["Rune is old."], [OF_ORIGINAL]),  # a sentence of an original
        (["", ""], ["", OF_MADE]),
    ],
)
def test_duplicate(texts, reasons):
    on = context("people say that Kalo is brighter than Mido.", "Rune is old. Rune is tall.")
    assert judge("duplicate", [made(t) for t in texts], on) == reasons


def test_near_an_original():
    on = context(LONG)
    assert judge("duplicate", [made(LONG + " too")], on) == ["near-duplicate of an original"]
    assert judge("duplicate", [made(LONG)], on, originals=False) == [""]


def test_a_threshold_of_1_leaves_near_ones():
    assert judge("duplicate", [made(LONG), made(LONG + " too")], threshold=1) == ["", ""]


def test_an_answer_is_no_duplicate_where_its_question_differs():
    asked = [made(" yes.", prompt=f"question: is it true that {x} is old? answer:") for x in ("Kalo", "Mido", "Kalo")]
    assert judge("duplicate", asked) == ["", "", OF_MADE]


texts = st.lists(
    st.lists(st.sampled_from(["Kalo", "Mido", "is", "older", "than", "the", "tall", "and", "7"]), max_size=12).map(
        " ".join
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(texts)
def test_what_is_kept_stays_and_nothing_is_lost_altogether(said):
    first = [made(t) for t in said]
    on = context("Rune is old.")
    kept = [m for m, reason in zip(first, judge("duplicate", first, on), strict=True) if not reason]
    assert judge("duplicate", kept, on) == [""] * len(kept)
    assert bool(kept) == bool(first)
    assert {m.text.casefold() for m in kept} <= {m.text.casefold() for m in first}
