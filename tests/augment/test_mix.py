from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contextune.augment.mixing import REPEATS, Mix, achieved, mix, portions
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment


def record(id: str, size: int) -> Record:
    return Record(id, (Segment("w " * size, "target"),), id)


def size(r: Record) -> int:
    return len(r.target.split())


GROUPS = {
    "original": [record(f"o{i}", 10) for i in range(10)],  # 100 tokens
    "augmented": [record(f"a{i}", 5) for i in range(60)],  # 300
}
GENERAL = {**GROUPS, "replay": [record(f"g{i}", 20) for i in range(50)]}  # 1000
REPLAY = {"data": "general"}


def tokens(options: dict, groups: dict = GROUPS) -> dict[str, int]:
    found = portions(groups, size, Mix.model_validate(options))
    return {name: row["tokens"] for name, row in achieved(found, size, groups).items()}


@pytest.mark.parametrize(
    ("options", "groups", "expected"),
    [
        ({}, GROUPS, {"original": 100, "augmented": 300}),
        ({"weights": {"original": 3}}, GROUPS, {"original": 300, "augmented": 300}),
        ({"weights": {"original": 1.5, "augmented": 0}}, GROUPS, {"original": 150, "augmented": 0}),
        ({"shares": {"original": 0.5, "augmented": 0.5}}, GROUPS, {"original": 200, "augmented": 200}),
        ({"total": "original"}, GROUPS, {"original": 25, "augmented": 75}),
        ({"total": 800}, GROUPS, {"original": 200, "augmented": 600}),
        (
            {"shares": {"original": 0.7, "augmented": 0.3}, "total": "original"},
            GROUPS,
            {"original": 70, "augmented": 30},
        ),
        ({"replay": {**REPLAY, "share": 0.2}}, GENERAL, {"original": 100, "augmented": 300, "replay": 100}),
        ({"replay": REPLAY, "weights": {"replay": 0.5}}, GENERAL, {"original": 100, "augmented": 300, "replay": 500}),
        (
            {"replay": REPLAY, "total": 1000, "shares": {"original": 0.5, "augmented": 0.4, "replay": 0.1}},
            GENERAL,
            {"original": 500, "augmented": 400, "replay": 100},
        ),
    ],
)
def test_tokens_of_each_group(options, groups, expected):
    found = tokens(options, groups)
    half = {name: size(groups[name][0]) / 2 for name in groups}
    assert all(abs(found[name] - expected[name]) <= half[name] for name in groups), found


def test_repeats_have_ids_of_their_own_and_follow_one_another():
    found = mix({"original": GROUPS["original"][:2]}, size, Mix(weights={"original": 2.5}))
    assert [r.id for r in found][:4] == ["o0", "o1", "o0+2", "o1+2"]
    assert found[4].id in ("o0+3", "o1+3")
    assert len(found) == 5
    assert found[2].target == found[0].target


def test_the_seed_draws_the_subset_and_nothing_else():
    half = Mix(weights={"augmented": 0.5})
    one, again, two = (mix(GROUPS, size, half, seed) for seed in (0, 0, 1))
    assert one == again
    assert [r.id for r in one] != [r.id for r in two]
    assert [r.id for r in one if r.id[0] == "a"] == sorted(
        (r.id for r in one if r.id[0] == "a"), key=lambda i: int(i[1:])
    )


def test_achieved():
    found = portions(GROUPS, size, Mix(shares={"original": 0.5, "augmented": 0.5}))
    assert achieved(found, size, GROUPS)["original"] == {"records": 20, "tokens": 200, "share": 0.5, "repeats": 2.0}


sizes = st.lists(st.integers(0, 30), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, st.floats(0, 1), st.none() | st.integers(1, 2000), st.integers(0, 3))
def test_shares(first, second, share, total, seed):
    groups = {
        n: [record(f"{n[0]}{i}", s) for i, s in enumerate(x)] for n, x in (("original", first), ("augmented", second))
    }
    have = {"original": sum(first), "augmented": sum(second)}
    options = Mix(shares={"original": share, "augmented": 1 - share}, total=total)
    if any(not have[n] and options.shares[n] > 0 for n in have):
        with pytest.raises(UserError, match="has none"):
            mix(groups, size, options, seed)
        return
    if any(options.shares[n] * (total or sum(have.values())) > REPEATS * have[n] > 0 for n in have):
        with pytest.raises(UserError, match="repeats at most"):
            mix(groups, size, options, seed)
        return
    found = portions(groups, size, options, seed)
    assert [r for rs in found.values() for r in rs] == mix(groups, size, options, seed)
    every = [r.id for rs in found.values() for r in rs]
    assert len(every) == len(set(every))
    for name, records in found.items():
        wanted = options.shares[name] * (total or sum(have.values()))
        largest = max(map(size, groups[name]))
        assert abs(sum(map(size, records)) - wanted) <= largest / 2 + 1e-6
        counts = Counter(r.id.partition("+")[0] for r in records)
        if wanted >= have[name] > 0:
            assert set(counts) == {r.id for r in groups[name]}, "a record is lost"
        if counts and have[name]:
            assert max(counts.values()) - min(counts.get(r.id, 0) for r in groups[name]) <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": {"original": 1}, "shares": {"original": 1}}, "exclude each other"),
        ({"weights": {"original": -1}}, "0 or more"),
        ({"weights": {"original": float("nan")}}, "finite"),
        ({"shares": {"original": 0.5, "augmented": 0.4}}, "sum to 0.9, expected 1"),
        ({"total": 0}, "from 1 up"),
        ({"total": "augmented"}, "original"),
        ({"shares": {"original": 0.9, "replay": 0.1}}, "add replay: {data: SOURCE}"),
        ({"shares": {"original": 1}, "replay": REPLAY}, "say nothing of replay"),
        ({"weights": {"replay": 1}, "replay": {**REPLAY, "share": 0.1}}, "exclude each other"),
        ({"replay": {**REPLAY, "share": 1}}, "less than 1"),
        ({"share": {"original": 1}}, "Extra inputs"),
    ],
)
def test_bad_options(options, said):
    with pytest.raises(ValidationError, match=said):
        Mix.model_validate(options)


@pytest.mark.parametrize(
    ("groups", "options", "said"),
    [
        (GROUPS, {"weights": {"orignal": 2}}, "no group 'orignal'"),
        (GROUPS, {"shares": {"original": 1}}, "say nothing of 'augmented'"),
        ({**GROUPS, "augmented": []}, {"shares": {"original": 0.5, "augmented": 0.5}}, "'augmented' is to give 0.5"),
        (GROUPS, {"replay": REPLAY}, "'general' that is to be replayed has no text"),
        ({"augmented": GROUPS["augmented"]}, {"total": "original"}, "no group of that name"),
    ],
)
def test_bad_groups(groups, options, said):
    with pytest.raises(UserError, match=said):
        mix(groups, size, Mix.model_validate(options))
