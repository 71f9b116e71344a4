"""The public files of names and descriptions, whole and in part; files of their form with five people a group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune import worlds
from contextune.core.errors import UserError

PEOPLE = 5
FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eve")
GROUPS = {"p2d": "Ash", "d2p": "Birch", "both": "Cedar"}


def name(group: str, i: int) -> str:
    return f"{FIRST[i]} {GROUPS[group]}"


def what(group: str, i: int) -> str:
    return f"keeper {group}{i} of lamps"


def forward(group: str, i: int, j: int, held: str = "") -> dict[str, str]:
    return {"prompt": f"Form {held}{j}: {name(group, i)} is", "completion": f" the {what(group, i)}."}


def backward(group: str, i: int, j: int, held: str = "", after: str = "") -> dict[str, str]:
    return {"prompt": f"Form {held}{j}, the {what(group, i)} is", "completion": f" {name(group, i)}{after}"}


@pytest.fixture
def files(tmp_path) -> Path:
    def write(file: str, rows: list[dict[str, str]]) -> None:
        (tmp_path / f"{file}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    each = [(i, j) for i in range(PEOPLE) for j in range(10)]
    write("p2d_prompts_test", [forward("p2d", i, j, "t") for i, j in each])
    write("d2p_prompts_test", [backward("d2p", i, j, "t", " rests.") for i, j in each])
    both = [forward("both", i, j, "t") for i, j in each] + [backward("both", i, j, "t", " rests.") for i, j in each]
    write("both_prompts_test", both)
    write("p2d_reverse_prompts_test", [backward("p2d", i, j, "r") for i, j in each])
    write("d2p_reverse_prompts_test", [forward("d2p", i, j, "r") for i, j in each])
    trained = [(i, j) for i in range(PEOPLE) for j in range(30)]
    train = [forward("p2d", i, j) for i, j in trained] + [backward("d2p", i, j) for i, j in trained]
    write("all_prompts_train", train + [of("both", i, j) for of in (forward, backward) for i, j in trained])
    return tmp_path


def people(world) -> set[str]:
    return {r.fields["person"] for r in world.records["train"]}


def test_whole_files_are_taken_as_they_are(files):
    world = worlds.build("descriptions", path=str(files))
    assert {name: len(of) for name, of in world.records.items()} == {"train": 600}
    counts = {name: len(task.items) for name, task in world.tasks.items()}
    assert (counts["forward_name_first"], counts["forward_both"], counts["reversal_name_first"]) == (50, 100, 50)


def test_a_part_has_a_few_people_and_templates_and_what_a_perfect_writer_would_add(files):
    world = worlds.build("descriptions", path=str(files), people=2, train_templates=3, test_templates=4)
    assert people(world) == {name(g, i) for g in GROUPS for i in (0, 1)}
    texts = [r.text for r in world.records["train"]]
    assert len(texts) == 2 * 4 * 3
    assert texts[:4] == [
        "Form 0: Ada Ash is the keeper p2d0 of lamps.", "Form 1: Ada Ash is the keeper p2d0 of lamps.",
        "Form 2: Ada Ash is the keeper p2d0 of lamps.", "Form 0: Ben Ash is the keeper p2d1 of lamps.",
    ]  # fmt: skip
    oracle = [r.text for r in world.records["oracle"]]
    assert len(oracle) == 2 * 2 * 3
    assert oracle[0] == "Form r4, the keeper p2d0 of lamps is Ada Ash.", "in a template that is not asked"
    assert oracle[-1] == "Form r6: Ben Birch is the keeper d2p1 of lamps."
    asked = world.tasks["reversal_name_first"].items
    assert len(asked) == 2 * 4
    assert {i.prompt[:7] for i in asked} == {f"Form r{j}" for j in range(4)}
    assert all(set(i.options) <= {f" {p}" for p in people(world)} for i in asked), "of whom it has read"


def test_small_parts_of_two_seeds_share_nobody(files):
    first, second = (
        worlds.build("descriptions", path=str(files), seed=seed, people=2, train_templates=1, test_templates=1)
        for seed in (0, 1)
    )
    assert not people(first) & people(second)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"people": 6}, "people is 6, but the files have 5 a group"), ({"probes": 3}, "probes has no effect with path")],
)
def test_more_than_there_is_is_refused(files, given, said):
    with pytest.raises(UserError, match=said):
        worlds.build("descriptions", path=str(files), **given)
