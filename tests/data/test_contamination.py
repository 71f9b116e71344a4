from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.data.contamination import Hit, overlap, words

QUICK = "the quick brown fox jumps over the lazy dog and then sleeps well until noon"


def test_words():
    assert words("The T-cell's p53_mutant, ÉTÉ 3.5%!") == ["the", "t", "cell", "s", "p53", "mutant", "été", "3", "5"]


def test_thirteen_words_in_a_row_whatever_their_case_and_punctuation():
    train = [("a", "nothing here"), ("b", f"Yes: {QUICK.title().replace(' ', ', ')}. End"), ("c", QUICK)]
    found = overlap(
        train, [("q1", f"Why does {QUICK}?"), ("q2", "Why does the quick brown cat jump over the lazy dog then?")]
    )
    assert found.hits == (Hit("q1", "b", " ".join(QUICK.split()[:13])),)
    assert (found.checked, found.share, found.ids) == (2, 0.5, ("q1",))


def test_twelve_are_not_enough_for_a_longer_item():
    twelve = " ".join(QUICK.split()[:12])
    assert overlap([("a", twelve)], [("q", QUICK)]).hits == ()
    assert overlap([("a", twelve)], [("q", QUICK)], n=12).ids == ("q",)


def test_a_short_item_must_occur_whole():
    items = [
        ("six", "What is the capital of France?"),
        ("five", "Who wrote War and Peace?"),
        ("four", "Who wrote Emma then?"),
    ]
    train = [("a", "He asked: what is the capital of France, and who wrote Emma then"), ("b", "who wrote war and")]
    found = overlap(train, items)
    assert found.ids == ("six",)
    assert (found.checked, found.unchecked) == (2, ("four",))


def test_words_across_two_texts_are_no_overlap():
    half = QUICK.split()
    assert overlap([("a", " ".join(half[:8])), ("b", " ".join(half[8:]))], [("q", QUICK)]).hits == ()


def test_nothing_to_check():
    assert overlap([("a", QUICK)], []).share == 0.0
    with pytest.raises(UserError, match="overlap of 3 words"):
        overlap([], [], n=3)


small = st.lists(st.sampled_from(["aa", "bb", "a"]), max_size=25).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(train=st.lists(small, max_size=4), items=st.lists(small, max_size=4), n=st.integers(5, 8))
def test_against_the_definition(train, items, n):
    def dirty(item: str) -> bool:
        w = item.split()
        size = min(n, len(w))
        grams = {tuple(w[i : i + size]) for i in range(len(w) - size + 1)}
        texts = [t.split() for t in train]
        return any(tuple(t[i : i + size]) in grams for t in texts for i in range(len(t) - size + 1))

    found = overlap(((str(i), t) for i, t in enumerate(train)), ((str(i), t) for i, t in enumerate(items)), n)
    assert found.ids == tuple(str(i) for i, t in enumerate(items) if len(t.split()) >= 5 and dirty(t))


def test_a_corpus_against_thousands_of_items_takes_seconds():
    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(5000)]
    train = [(str(i), " ".join(rng.choices(vocabulary, k=5000))) for i in range(40)]
    items = [(str(i), " ".join(rng.choices(vocabulary, k=rng.randint(5, 100)))) for i in range(4000)]
    begin = time.process_time()
    assert overlap(train, [*items, ("copy", train[7][1][100:400])]).ids == ("copy",)
    assert time.process_time() - begin < 15


def test_texts_are_sifted_without_a_loss(monkeypatch):
    """What is found by hashes of words in a row is what a look at every text finds."""
    import random

    from contextune.core.lazy import View
    from contextune.data import contamination

    rng = random.Random(3)
    vocabulary = [*"abcdefgh", "Ünï", "e\u0301", "ﬁ", "中", "文", "ไท", "x-y", "don't", "1,5"]
    texts = [(f"t{i}", " ".join(rng.choices(vocabulary, k=rng.randint(0, 60)))) for i in range(700)]
    long = [text.split(" ") for _, text in texts if text.count(" ") > 30]
    items = [(f"i{i}", " ".join(rng.choice(long)[: rng.randint(3, 30)])) for i in range(60)]
    items += [(f"n{i}", " ".join(rng.choices(vocabulary, k=rng.randint(3, 20)))) for i in range(60)]
    whole = {n: overlap(texts, items, n) for n in (5, 8, 13)}
    assert all(len(found.hits) > 20 for found in whole.values())
    lazy = View(texts, range(len(texts)))
    monkeypatch.setattr(contamination, "BLOCK", 100)
    assert {n: overlap(lazy, items, n) for n in whole} == whole, "by several processes"
    monkeypatch.setattr(contamination._Sieve, "suspects", lambda self, texts: range(len(texts)))
    assert {n: overlap(texts, items, n) for n in whole} == whole
