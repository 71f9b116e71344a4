"""What a task scores without any learning: a copier, and the best constant answer.

copier     looks for the longest run of words before the prompt's end that stands earlier in the prompt, the last time
           where there are several, and continues as the text did there; of options it takes the one that stood there,
           else the one that the context names last. It is asked where a prompt has a context.
constant   always the same answer, the one that scores most: a text, a place among the options, or a form whose words
           from the prompt stand in fixed places ("no FIRST are SECOND").

Both are computed from the items alone. What chance gives is the task's own; an untrained model and one that does not
read its context ("deaf") are measured.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import Any

from contextune.core.items import Item, Task

from .. import metrics
from ..metrics import ItemMetric

WORD = re.compile(r"\w+(?:[\w'’-]*\w)?")
MEANS = ("accuracy", "accuracy_token", "accuracy_byte", "exact_match", "starts_with", "substring_choice", "kept")
"""Metrics that are, or are made of, the share of right answers; those of free answers (ItemMetric) are means too."""


def floors(task: Task) -> dict[str, float]:
    """The value of the task's metric for each; absent where it has no meaning."""
    metric = metrics.find(task.metric)
    if metric.name not in MEANS and not (isinstance(metric, ItemMetric) and metric.has_majority):
        return {}
    found = {"constant": max(_value(task, answers) for answers in _constants(task))}
    if all(i.alone is not None for i in task.items):
        found["copier"] = _value(task, [_copied(i, task) for i in task.items])
    return found


def copy(prompt: str) -> str:
    """What a copier writes: what followed the longest earlier run of words that ends as the prompt does."""
    spans = [m.span() for m in re.finditer(r"\S+", prompt)]
    words = [prompt[a:b] for a, b in spans]
    best, end = 0, len(prompt)
    for i in range(len(words) - 1):
        length = 0
        while length <= i and words[i - length] == words[-1 - length]:
            length += 1
        if length and length >= best:
            best, end = length, spans[i][1]
    return prompt[end:].lstrip()


def _copied(item: Item, task: Task) -> str:
    said = copy(item.prompt)
    if task.kind == "choice":
        bare = {o: o.strip().rstrip(".") for o in item.options}
        there = [o for o in item.options if bare[o] and said.startswith(bare[o])]
        named = [o for o in item.options if bare[o] in item.prompt]
        return max(there, key=len, default=max(named, key=lambda o: item.prompt.rfind(bare[o]), default=""))
    for stop in task.stop:
        said = said.split(stop)[0]
    return said.strip()


def _constants(task: Task) -> Iterator[list[str]]:
    """Answers to all items: the most frequent text, place and form."""
    items = task.items
    text = _most(i.gold for i in items)
    yield [text for _ in items]
    if task.kind == "choice":
        place = _most(i.answer for i in items)
        yield [i.options[place] if place < len(i.options) else "" for i in items]
    form = _most(_form(i, i.gold) for i in items)
    yield [_in_form(i, form, task) for i in items]


def _most(values: Iterable[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]


def _question(item: Item) -> list[str]:
    return WORD.findall(item.prompt if item.alone is None else item.alone)


def _form(item: Item, text: str) -> str:
    """The text with the words that its question has as their places there."""
    words = _question(item)
    return WORD.sub(lambda m: f"<{words.index(m[0])}>" if m[0] in words else m[0], text.strip().rstrip("."))


def _in_form(item: Item, form: str, task: Task) -> str:
    if task.kind == "choice":
        return next((o for o in item.options if _form(item, o) == form), "")
    words = _question(item)
    return re.sub(r"<(\d+)>", lambda m: words[int(m[1])] if int(m[1]) < len(words) else "", form)


def _value(task: Task, answers: Seq[str]) -> float:
    """The mean; nothing chosen of some options is worth a guess."""
    if task.kind == "choice":
        worth = [float(a == i.gold) if a else 1 / len(i.options) for a, i in zip(answers, task.items, strict=True)]
    else:
        worth = [g.correct for g in metrics.find(task.metric).grade(task, task.items, answers)]
    return sum(worth) / len(worth)
