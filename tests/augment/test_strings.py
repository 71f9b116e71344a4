"""Texts read backwards: every word once, names and segments whole."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.augment.operations.reversed_strings import ReversedStrings

WORDS = st.lists(st.sampled_from(["the", "fox", "Old", "Town", "Kalo,", "is", "Orla", "Vance.", "of"]), max_size=20)


def reverse(text: str, seed: int = 0, **options: object) -> str:
    return ReversedStrings(**options).reverse(text, random.Random(seed))


@given(WORDS, st.sampled_from(["word", "entity", "segment"]), st.integers(0, 5))
def test_words_are_conserved(words, by, seed):
    assert Counter(reverse(" ".join(words), seed, by=by).split()) == Counter(words)


@given(WORDS)
def test_by_word_twice_is_the_text(words):
    text = " ".join(words)
    assert reverse(reverse(text, by="word"), by="word") == text


@given(WORDS, st.integers(0, 5), st.integers(1, 4))
def test_segments_keep_their_own_order(words, seed, longest):
    """Put back, segment by segment from the end, they are the text."""
    numbered = [f"{i}" for i in range(len(words))]
    out = list(map(int, reverse(" ".join(numbered), seed, by="segment", longest=longest).split()))
    runs: list[list[int]] = []
    for i in out:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    assert sorted(out) == list(range(len(words)))
    assert [i for run in reversed(runs) for i in run] == list(range(len(words)))


@given(WORDS, WORDS)
def test_entities_are_contiguous(before, after):
    text = " ".join([*before, "then", "Mira", "Sol-Tan", "said", *after])
    assert "Mira Sol-Tan" in reverse(text, by="entity")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"by": "word"}, "Vance. Orla by built was Pell at lighthouse The"),
        ({"by": "entity"}, "Orla Vance. by built was Pell at lighthouse The"),
        ({"by": "entity", "entities": ("lighthouse at Pell",)}, "Orla Vance. by built was lighthouse at Pell The"),
        ({"by": "segment", "longest": 1}, "Vance. Orla by built was Pell at lighthouse The"),
    ],
)
def test_an_example(options, expected):
    assert reverse("The lighthouse at Pell was built by Orla Vance.", **options) == expected
