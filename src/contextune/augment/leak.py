"""What of the tests stands in what was made. It is said, never refused: for reversals it is the aim.

{"reversal": {"items": 40, "verbatim": 38, "share": 0.95, "answers": 0}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import Any

from contextune.core.items import Item, Task
from contextune.core.text import size
from contextune.core.text import units as words

SHORTEST = 3
"""Words that a statement must have to be looked for: "Kalo teaches Mido"."""
ANSWER = 4
"""Words from which an answer alone is looked for: "all Kalo are Rune"."""


def leak(texts: Iterable[tuple[str, str]], tasks: Seq[Task]) -> dict[str, dict[str, Any]]:
    """For each task how many of its statements stand word for word in one of `texts` (id, text).

    A statement is an item's prompt, or the last line of it, with the right answer behind it; case and punctuation
    make no difference. {task: {items, verbatim, share, answers}}: `share` is verbatim by items; `answers` counts the
    items whose answer is a statement of its own ("conclude about Kalo and Rune:" -> "all Kalo are Rune") that stands
    there. Time grows with the words of both sides, not with their product.
    """
    said = {task.name: (_statements(task.items), _answers(task.items)) for task in tasks}
    there = _standing(texts, {w for found in said.values() for sets in found for wordings in sets for w in wordings})
    return {name: _count(statements, answers, there) for name, (statements, answers) in said.items()}


WordIndex = tuple[str, ...]


def _count(statements: list[set[WordIndex]], answers: list[set[WordIndex]], there: set[WordIndex]) -> dict[str, Any]:
    verbatim, alone = (sum(not there.isdisjoint(w) for w in found) for found in (statements, answers))
    share = verbatim / len(statements) if statements else 0.0
    return {"items": len(statements), "verbatim": verbatim, "share": share, "answers": alone}


def _statements(items: Seq[Item]) -> list[set[WordIndex]]:
    """Of each item; a last line that several items end in ("the answer is B") says nothing of one of them."""
    wholes = [_wording(item.prompt, item) for item in items]
    lasts = [_wording(item.prompt.rpartition("\n")[2], item) for item in items]
    owners: dict[WordIndex, set[WordIndex]] = {}
    for last, full in zip(lasts, wholes, strict=True):
        owners.setdefault(last, set()).add(full)
    return [
        {w for w in (full, last) if size(w) >= SHORTEST and (w == full or len(owners[w]) == 1)}
        for last, full in zip(lasts, wholes, strict=True)
    ]


def _wording(prompt: str, item: Item) -> WordIndex:
    """A generated answer's gold text has no space of its own before it."""
    return tuple(words(f"{prompt} {item.gold.lstrip()}"))


def _answers(items: Seq[Item]) -> list[set[WordIndex]]:
    """Only where a prompt asks for something whole: else the answer is the rest of a sentence."""
    golds = [tuple(words(item.gold)) if item.prompt.rstrip().endswith((":", "?")) else () for item in items]
    return [{gold} if size(gold) >= ANSWER else set() for gold in golds]


def _standing(texts: Iterable[tuple[str, str]], sought: set[WordIndex]) -> set[WordIndex]:
    """Those of `sought` that are a run of words in a text."""
    sizes, found = sorted({len(w) for w in sought}), set[WordIndex]()
    for _, text in texts:
        said = words(text)
        found.update(run for size in sizes for run in _runs(said, size) if run in sought)
    return found


def _runs(said: list[str], size: int) -> Iterator[WordIndex]:
    return (tuple(said[i : i + size]) for i in range(len(said) - size + 1))
