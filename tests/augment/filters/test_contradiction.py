from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.augment.filters.consistent import consistent, linked
from contextune.core.errors import UserError
from tests.augment.filters.made import judge, made

OK, ORIGINAL, LIKELIER = "", "contradicts an original", "contradicts a likelier one"


@pytest.mark.parametrize(
    ("texts", "reasons"),
    [
        (["Mido is less bright than Kalo."], [OK]),
        (["Mido is brighter than Kalo."], [ORIGINAL]),
        (["Kalo is less bright than Mido."], [ORIGINAL]),
        (["Mido is brighter than Rune.", "Rune is brighter than Mido."], [OK, LIKELIER]),
        (["no Lane are Sire.", "some Lane are Sire.", "some Sire are Lane."], [LIKELIER, OK, OK]),
        (["Mido is brighter than Rune.", "Rune is heavier than Mido."], [OK, OK]),
        (["nothing that can be read", "Mido teaches Kalo."], [OK, OK]),
    ],
)
def test_in_a_world(texts, reasons):
    assert judge("contradiction", [made(t) for t in texts], judge="world") == reasons


def test_no_model():
    with pytest.raises(UserError, match="judge: world"):
        judge("contradiction", [made("a")])


def test_a_prompt_must_hold_both():
    with pytest.raises(ValueError, match="first"):
        judge("contradiction", [], ask="{first}")


def test_linked_by_two_names_or_by_the_passage():
    keys = [{"Kalo", "Mido"}, {"Kalo"}, {"Mido", "Kalo", "Rune"}, {("p", 0), ("p", 1)}, {("p", 0), ("p", 1)}]
    assert set(linked(keys, 5, 9)) == {(0, 2), (3, 4)}
    assert set(linked(keys, 0, 9)) == set()


def test_the_likelier_side_stays():
    star = [(0, 1), (0, 2), (0, 3)]
    assert consistent({0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5}, star, 12) == {1, 2, 3}
    assert consistent({0: 0.9, 1: 0.4, 2: 0.4, 3: 0.4}, star, 12) == {0}
    assert consistent({0: 0.9, 1: 0.8, 2: 0.8, 3: 0.8}, star, 12) == {1, 2, 3}
    assert consistent({0: 0.9, 1: 0.8, 2: 0.8, 3: 0.8}, star, 3) == {0}, "greedy takes the likeliest first"
    assert consistent({0: 1.0, 1: 1.0}, [(0, 1)], 12) == {0}
    assert consistent({}, [], 12) == set()


graphs = st.integers(2, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.05, 0.95), min_size=n, max_size=n),
        st.sets(st.sampled_from(list(combinations(range(n), 2)))),
    )
)


@settings(max_examples=100, deadline=None)
@given(graphs, st.sampled_from([1, 12]))
def test_what_stays_is_consistent_and_cannot_be_enlarged(graph, exact):
    true, clash = graph
    kept = consistent(dict(enumerate(true)), clash, exact)
    assert not [c for c in clash if set(c) <= kept]
    assert all(any(i in c and set(c) & kept for c in clash) for i in set(range(len(true))) - kept)


@settings(max_examples=50, deadline=None)
@given(graphs)
def test_exact_is_never_less_probable_than_greedy(graph):
    true, clash = graph

    def probability(kept: set[int]) -> float:
        found = 1.0
        for i, p in enumerate(true):
            found *= p if i in kept else 1 - p
        return found

    given_ = dict(enumerate(true))
    assert probability(consistent(given_, clash, 12)) >= probability(consistent(given_, clash, 1)) * (1 - 1e-9)
