"""Neighbours against brute force, seeded ties, the guard, the cache."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.binding import BindContext
from contextune.core.sequence import Record, Segment
from contextune.retrieval import Guard, Lexical, Space, WordOverlap, exact, indexed, nearest, open_pool
from contextune.retrieval import cache as kept
from contextune.retrieval import neighbours as module
from contextune.retrieval.guard import stem

BARE = BindContext(None)


def pair(id: str, question: str, answer: str, **fields) -> Record:
    return Record(id, (Segment(question, "context"), Segment(answer, "target")), id, fields=fields)


def nobody(row, places, scores):
    return np.zeros(len(places), bool)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 5), st.sampled_from([1, 64, 1 << 28]))
def test_as_brute_force_finds_them(n, k, seed, size):
    """Whatever the size of the blocks; ties may fall either way, their scores not."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(0, 3, (n, 2)).astype(np.float32) / 3
    space, old = Space(vectors, vectors), module.BYTES
    module.BYTES = size
    try:
        found = exact(space, k, lambda row, places, scores: places == row)
    finally:
        module.BYTES = old
    scores = space.scores(slice(None))
    for row in range(n):
        wanted = sorted((scores[row, j] for j in range(n) if j != row), reverse=True)[:k]
        got = found.of(row)
        assert [s for _, s in got] == pytest.approx(wanted)
        assert all(s == pytest.approx(scores[row, j]) and j != row for j, s in got)
        assert len({j for j, _ in got}) == len(got)


def test_ties_go_by_the_seed_not_by_the_file():
    space = Space(np.ones((1, 1), np.float32), np.ones((50, 1), np.float32))
    first = [exact(space, 1, nobody, seed).of(0)[0][0] for seed in range(20)]
    assert first == [exact(space, 1, nobody, seed).of(0)[0][0] for seed in range(20)]
    assert len(set(first)) > 10


@pytest.mark.parametrize("library", ["faiss", "usearch"])
def test_an_index_finds_what_exact_search_finds(library, monkeypatch):
    pytest.importorskip(library)
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    space = Space(vectors, vectors)
    if library == "usearch":
        monkeypatch.setattr(module, "_candidates", module._by_usearch)
    own = lambda row, places, scores: places == row  # noqa: E731
    right, found = exact(space, 5, own), indexed(space, 5, own)
    hits = sum(len({i for i, _ in right.of(r)} & {i for i, _ in found.of(r)}) for r in range(300))
    assert hits > 0.97 * 1500
    monkeypatch.setattr(module, "LIMIT", 10)
    monkeypatch.setattr(module, "PAIRS", 10)
    assert (nearest(space, 5, own).ids == found.ids).all()


@pytest.mark.parametrize(("limit", "pairs", "by_index"), [(10, 599, True), (10, 600, False), (20, 599, False)])
def test_an_index_is_built_where_many_ask_very_many(limit, pairs, by_index, monkeypatch):
    """30 queries and 20 documents."""
    vectors = np.eye(30, 8, dtype=np.float32)
    monkeypatch.setattr(module, "LIMIT", limit)
    monkeypatch.setattr(module, "PAIRS", pairs)
    monkeypatch.setattr(module, "_candidates", lambda space, k: np.full((30, k), 7))
    found = nearest(Space(vectors, vectors[:20]), 1, lambda query, places, scores: places == 0)
    assert (found.ids == 7).all() == by_index


def test_ids_of_repeats_and_sentences():
    assert [stem(i) for i in ("r7", "r7+2", "r7/3", "r7/3+2", "a/b", "x#2")] == ["r7", "r7", "r7", "r7", "a/b", "x#2"]


@pytest.mark.parametrize(
    ("other", "barred"),
    [
        (pair("r1", "anything", "else"), True),
        (pair("r1+2", "anything", "else"), True),
        (pair("r2", "Where  is KALO? ", "There."), True),
        (pair("r2", "Where is Kalo now?", "Here.", source="r1"), True),
        (pair("r2", "Who?", "Her.", source=["r9", "r1/0"]), True),
        (pair("r2", "Where is Mido?", "Here."), False),
        (pair("r2", "Where is Mido?", "Here.", source="r10"), False),
        (pair("r2", "Who?", "Her.", relation="teach", a="Kalo", b="Mido"), True),
        (pair("r2", "Who?", "Her.", relation="teach", a="Mido", b="Kalo"), False),
    ],
)
def test_who_says_the_same(other, barred):
    mine = pair("r1", "Where is Kalo?", "Here.", relation="teach", a="Kalo", b="Mido")
    assert bool(Guard.of([mine], [other]).barred[0]) is barred
    assert bool(Guard.of([other], [mine]).barred[0]) is barred


def test_near_duplicates_have_the_same_answer():
    rows = [
        pair("r0", "a b c d e f g h i j", "x"),
        pair("r1", "a b c d e f g h i k", "X "),
        pair("r2", "a b c d e f g h i l", "y"),
        pair("r3", "q", "z"),  # so that nothing stands in all
    ]
    pool = open_pool(rows, rows, WordOverlap(), 2, BARE, duplicate_threshold=0.85)
    assert [j for j, _ in pool.neighbours.of(0)] == [2, 3]
    assert {j for j, _ in pool.random(0, 3, random.Random(0), None)} == {2, 3}


def test_columns_that_keep_rows_apart():
    rows = [pair(f"r{i}", f"q{i} same", "x", topic=i % 2) for i in range(4)]
    pool = open_pool(rows, rows, Lexical(), 3, BARE, group_columns=("topic",))
    assert {j for j, _ in pool.neighbours.of(0)} == {1, 3}


def test_kept_and_found_again(tmp_path, monkeypatch):
    rows = [pair(f"r{i}", f"q{i % 3} word{i}", "x") for i in range(8)]
    place = BindContext(None, cache=tmp_path)
    first = open_pool(rows, rows, Lexical(), 2, place).neighbours
    (file,) = tmp_path.iterdir()

    def never(*args, **options):
        raise AssertionError("searched again")

    monkeypatch.setattr("contextune.retrieval.pool.search", never)
    again = open_pool(rows, rows, Lexical(), 2, place).neighbours
    assert (again.ids == first.ids).all()
    assert (again.scores == first.scores).all()
    for changed in (
        lambda: open_pool(rows, rows, Lexical(k1=1.2), 2, place),
        lambda: open_pool(rows[1:], rows, Lexical(), 2, place),
        lambda: open_pool(rows, rows, Lexical(), 2, place, duplicate_threshold=0.5),
    ):
        with pytest.raises(AssertionError, match="searched again"):
            changed()
    file.write_bytes(file.read_bytes()[:100])  # cut off: made anew, no error
    with pytest.raises(AssertionError, match="searched again"):
        open_pool(rows, rows, Lexical(), 2, place)


def test_a_kill_while_writing_leaves_nothing_half(tmp_path, monkeypatch):
    def killed(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("numpy.savez", killed)
    with pytest.raises(KeyboardInterrupt):
        kept.kept(tmp_path, "name", lambda: {"a": np.ones(2)})
    assert not (tmp_path / "name.npz").exists()
    monkeypatch.undo()
    assert kept.kept(tmp_path, "name", lambda: {"a": np.zeros(2)})["a"].tolist() == [0, 0]
    assert kept.kept(tmp_path, "name", killed)["a"].tolist() == [0, 0]


def test_shares_of_the_grades():
    rows = [pair("r0", "in a b c out", "x"), pair("r1", "in a b d out", "y"), pair("r2", "in e f g out", "z")]
    assert open_pool(rows, rows, WordOverlap(), 1, BARE).grades() == pytest.approx(
        {"low": 1 / 3, "medium": 0, "high": 2 / 3}
    )
