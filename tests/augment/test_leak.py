from __future__ import annotations

import pytest

from contextune.augment.leak import leak
from contextune.core.items import Item, Task
from contextune.worlds import build


def task(name: str, *items: tuple[str, str]) -> Task:
    return Task(name, "generate", tuple(Item(str(i), p, a) for i, (p, a) in enumerate(items)), "exact_match")


def found(texts: list[str], *items: tuple[str, str]) -> tuple[int, int]:
    row = leak(((str(i), t) for i, t in enumerate(texts)), [task("t", *items)])["t"]
    assert row["share"] == row["verbatim"] / row["items"]
    return row["verbatim"], row["answers"]


@pytest.mark.parametrize(
    ("prompt", "gold", "expected"),
    [
        ("Mido is", " less bright than Kalo.", (1, 0)),
        ("Mido is", "less bright than Kalo", (1, 0)),
        ("Mido is", " less bright than Rune.", (0, 0)),
        ("Rune is brighter than Kalo.\nMido is", "less bright than Kalo", (1, 0)),  # the last line of it
        ("note that Mido is", "less bright than Kalo", (0, 0)),
        ("Kalo", "teaches Rune", (1, 0)),
        ("Kalo", "teaches", (0, 0)),  # two words say nothing
        ("conclude about Kalo and Rune:", " all Kalo are Rune.", (0, 1)),
        ("so", " all Kalo are Rune.", (0, 0)),  # the rest of a sentence
        ("question: who is old? answer:", " Kalo.", (0, 0)),
    ],
)
def test_statements(prompt, gold, expected):
    texts = ["people say that MIDO is less bright than Kalo!", "all Kalo are Rune. Kalo teaches Rune"]
    assert found(texts, (prompt, gold)) == expected


def test_across_two_texts_is_no_leak():
    assert found(["Mido is less", "bright than Kalo"], ("Mido is less", "bright than Kalo")) == (0, 0)


def test_a_last_line_that_several_items_share_is_none_of_them():
    shared = [("Kalo is old.\nThe answer is", "B"), ("Mido is new.\nThe answer is", "B")]
    assert found(["the answer is B"], *shared) == (0, 0)
    assert found(["the answer is B"], shared[0]) == (1, 0)


def test_nothing_there():
    assert leak([], [task("none")]) == {"none": {"items": 0, "verbatim": 0, "share": 0.0, "answers": 0}}


def test_a_world_whose_every_other_reversal_is_made():
    """The golden numbers: 20 of 40 reversals stand there, asked alone or with their fact in context."""
    world = build("reversals", size="small")
    texts = [(r.id, r.target) for r in world.records["oracle"][::2]]
    shares = {name: row["share"] for name, row in leak(texts, list(world.tasks.values())).items()}
    half = {"reversal", "reversal_written", "reversal_in_context", "reversal_written_in_context"}
    assert shares == {name: 0.5 if name in half else 0.0 for name in world.tasks}


def test_conclusions_stand_without_their_prompt():
    world = build("syllogisms", size="small")
    texts = [(r.id, r.target.partition(": ")[2]) for r in world.records["oracle"]]
    row = leak(texts, [world.tasks["conclusion"]])["conclusion"]
    assert (row["verbatim"], row["answers"]) == (0, row["items"])
