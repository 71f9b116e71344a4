"""Who reads nothing, or only copies, reaches chance at most on the mean of the measures."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

import pytest

from contextune.core.items import Item
from contextune.evaluate.tasks.load import load_task
from contextune.exam.forms import FORMS
from contextune.exam.make import Settings, make


def context(item: Item) -> str:
    asked = item.fields.get("wording") or item.alone
    return item.prompt.removesuffix(asked) if asked else ""


def values(item: Item) -> dict[str, str]:
    """Option: what it puts into the gap, without the rest of the sentence."""
    words = [o.split(" ") for o in item.options]
    rest = 0
    while rest + 2 < min(map(len, words)) and len({w[-1 - rest] for w in words}) == 1:
        rest += 1
    return {o: " ".join(w[: len(w) - rest]).strip().rstrip(".,") for o, w in zip(item.options, words, strict=True)}


def copies(item: Item, place: Callable[[str, str], int], latest: bool) -> str | None:
    text = context(item)
    there = {o: place(text, v) for o, v in values(item).items() if v in text}
    return (max if latest else min)(there, key=there.__getitem__, default=None)


TRIVIAL = {
    "copies what the context names last": lambda item: copies(item, str.rfind, True),
    "copies what the context names first": lambda item: copies(item, str.find, False),
    "always says that the text does not say": lambda item: next((o for o in item.options if "does not say" in o), None),
    "never looks at the context": lambda item: None,
    "always the first option": lambda item: item.options[0],
}


@pytest.mark.parametrize("who", TRIVIAL)
def test_trivial_answerers_reach_chance_at_most(towns, tmp_path, who):
    make((str(towns),), tmp_path / "exam", Settings(200), print, tmp_path)
    reached: dict[str, list[float]] = {}
    chance: dict[str, list[float]] = {}
    for task in load_task("exam", tmp_path):
        said = [TRIVIAL[who](i) for i in task.items]
        worth = [1 / len(i.options) if s is None else s == i.gold for s, i in zip(said, task.items, strict=True)]
        measure = FORMS[task.name.removeprefix("exam.")].measure
        reached.setdefault(measure, []).append(mean(worth))
        chance.setdefault(measure, []).append(task.chance)
    assert set(reached) == {"learn", "generalise", "listen", "resist"}
    assert mean(map(mean, reached.values())) <= mean(map(mean, chance.values())) + 0.005
