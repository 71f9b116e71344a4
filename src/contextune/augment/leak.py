"""What of the tests stands in what was made. It is said, never refused: for reversals it is the aim.

{"reversal": {"items": 40, "verbatim": 38, "share": 0.95, "answers": 0}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import Any

from ..data.contamination import words
from ..evaluate.items import Item, Task

SHORTEST = 3
"""Words that a statement must have to be looked for: "Kalo teaches Mido"."""
ANSWER = 4
"""Words from which an answer alone is looked for: "all Kalo are Rune"."""


def leak(texts: Iterable[tuple[str, str]], tasks: Seq[Task]) -> dict[str, dict[str, Any]]:
    """For each task how many of its statements stand word for word in one of `texts` (id, text).

    A statement is an item's prompt, or the last line of it, with the right answer behind it; case and punctuation
    make no difference. {task: {items, verbatim, share, answers}}: `share` is verbatim by items; `answers` counts those
    whose answer of four words or more stands there by itself. Time grows with the words of both sides.
    """
    said = [[(_statements(i), _answer(i)) for i in task.items] for task in tasks]
    sought = {s for items in said for statements, answer in items for s in (*statements, *answer)}
    there = _standing(texts, sought)
    return {task.name: _count(items, there) for task, items in zip(tasks, said, strict=True)}


Wording = tuple[str, ...]


def _count(items: list[tuple[set[Wording], set[Wording]]], there: set[Wording]) -> dict[str, Any]:
    verbatim = sum(not there.isdisjoint(statements) for statements, _ in items)
    answers = sum(not there.isdisjoint(answer) for _, answer in items)
    share = verbatim / len(items) if items else 0.0
    return {"items": len(items), "verbatim": verbatim, "share": share, "answers": answers}


def _statements(item: Item) -> set[Wording]:
    last = item.prompt.rpartition("\n")[2]
    found = (tuple(words(prompt + _gold(item))) for prompt in (item.prompt, last))
    return {w for w in found if len(w) >= SHORTEST}


def _answer(item: Item) -> set[Wording]:
    found = tuple(words(item.gold))
    return {found} if len(found) >= ANSWER else set()


def _gold(item: Item) -> str:
    """Behind a space: a generated answer's gold text has none of its own."""
    return f" {item.gold.lstrip()}"


def _standing(texts: Iterable[tuple[str, str]], sought: set[Wording]) -> set[Wording]:
    """Those of `sought` that are a run of words in a text."""
    sizes, found = sorted({len(w) for w in sought}), set[Wording]()
    for _, text in texts:
        said = words(text)
        found.update(run for size in sizes for run in _runs(said, size) if run in sought)
    return found


def _runs(said: list[str], size: int) -> Iterator[Wording]:
    return (tuple(said[i : i + size]) for i in range(len(said) - size + 1))
