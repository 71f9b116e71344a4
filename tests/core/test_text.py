"""One normal form, and units that say as much in every script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core import text
from contextune.core.text import key, normal, pairs, size, units

SAME = {
    "case and space": ("The  Lamp\n", "the lamp"),
    "composition": (unicodedata.normalize("NFD", "Größe über Élan"), "größe über élan"),
    "sharp s": ("STRASSE", "straße"),
    "width": ("ＧＰＴ－４", "gpt-4"),
    "ligature": ("ﬁre", "fire"),
    "soft hyphen": ("har\u00adbour", "harbour"),
    "zero width": ("har\u200bbo\u2060ur\ufeff", "harbour"),
    "variation selectors": ("葛\U000e0100城 ☂\ufe0f", "葛城 ☂"),
    "direction marks": ("\u202bشمس\u202c\u200f", "شمس"),
    "joiners": ("می\u200cخواهم", "میخواهم"),
    "presentation forms": ("ﻻ", "لا"),
    "vowel signs": ("العَرَبِيَّة كتـــاب", "العربية كتاب"),
    "Hangul jamo": (unicodedata.normalize("NFD", "등대"), "등대"),
    "half-width kana": ("ｶﾞｽ", "ガス"),
    "control characters": ("la\x00mp\x7f", "lamp"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_differences_that_no_reader_sees(pair):
    assert normal(pair[0]) == normal(pair[1])
    assert units(pair[0]) == units(pair[1])


def test_what_a_reader_sees_stays():
    for one, other in (("a+b", "a-b"), ("naïve", "naive"), ("но", "на"), ("は", "ば"), ("कि", "की"), ("١", "٢")):
        assert normal(one) != normal(other)
        assert key(one) != key(other)


def test_space_beside_marks_and_between_characters_makes_no_difference():
    assert key("Où est la lampe ?") == key("où est la lampe?")
    assert key("红 灯 在哪里？") == key("红灯在哪里?")
    assert key("등대 는 어디에") == key("등대는 어디에")
    assert key("an ice cream") != key("a nice cream")


UNITS = {
    "The T-cell's p53_mutant": ["the", "t", "cell", "s", "p53", "mutant"],
    "GPT模型库 runs": ["gpt", "模", "型", "库", "runs"],
    "ラーメン3杯": ["ラ", "ー", "メ", "ン", "3", "杯"],
    "ปี๒๕๖๗": ["ปี", "๒๕๖๗"],
    "등대는 어디": ["등", "대", "는", "어", "디"],
    "हिन्दी में": ["हिन्दी", "में"],
    "شمس وقمر": ["شمس", "وقمر"],
}


@pytest.mark.parametrize("text", UNITS)
def test_words_and_characters(text):
    assert units(text) == UNITS[text]


def test_characters_weigh_a_part_of_a_word():
    assert size(units("one two three")) == 3
    assert size(units("红灯在")) == 2
    assert size(units("ไทย")) == 1


def test_pairs_of_characters():
    assert pairs("gpt模型库") == ["gpt", "模型", "型库"]
    assert pairs("灯") == ["灯"]
    assert pairs("harbour?") == ["harbour?"]
    assert pairs("灯在?") == ["灯在"]


PLAIN = st.text(st.sampled_from("ab Z.,(  )\n\t-'_12é“”–ー中 あ\u0301\u00ad\u200b\u0640\u3000ǅϔℂﺀ")) | st.text(
    max_size=20
)


@settings(max_examples=500, deadline=None)
@given(PLAIN)
def test_the_forms_are_their_definitions(said):
    """However fast they are found."""
    shown = unicodedata.normalize("NFKC", text._INVISIBLE.sub("", said))
    plain = " ".join(text._OPTIONAL.sub("", unicodedata.normalize("NFKC", shown.casefold())).split())
    if not said.isascii():
        assert text.visible(said) == shown
    assert normal(said) == plain
    assert key(said) == text._GAP.sub("", plain)
