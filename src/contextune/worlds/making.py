"""How worlds put records, items and tasks together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from contextune.core.errors import UserError, nearest, shown
from contextune.core.items import Item, Measure, Task
from contextune.core.sequence import DrawKey, Record, Segment

T = TypeVar("T")
STOP = (".", "\n")
MOST = 1000
"""How many times its largest named size a part of a world may have."""
IN_CONTEXT = 64
"""Texts in a context."""


def draws(world: str, seed: int, *part: object) -> random.Random:
    """The random generator of a part of a world, so that one part's size does not move the others."""
    return DrawKey(seed, 0).rng("world", world, *part)


def sizes(world: str, size: str, known: Mapping[str, Mapping[str, int]], **given: int) -> dict[str, int]:
    """The sizes of a named size, with those given in their place; UserError where one is unknown or below 1."""
    if size not in known:
        raise UserError(f"world '{world}': unknown size '{size}'", nearest(size, known))
    for key, value in given.items():
        if key not in known[size]:
            raise UserError(f"world '{world}': unknown option '{key}'", nearest(key, ("seed", "size", *known[size])))
        most = IN_CONTEXT if key == "context" else MOST * max(of[key] for of in known.values())
        if type(value) is not int or not 1 <= value <= most:
            raise UserError(
                f"world '{world}': {key} is {shown(value)}, expected a number from 1 up, {most} at most",
                "write a whole number",
            )
    return {**known[size], **given}


def text(id: str, said: str, **fields: Any) -> Record:
    """A text all of which is trained on."""
    return Record(id, (Segment(said, "target"),), id, True, "", fields)


def pair(id: str, prompt: str, answer: str, **fields: Any) -> Record:
    """A prompt without loss and an answer with; `fields` hold both as `input` and `output`."""
    segments = (Segment(prompt, "context"), Segment(answer, "target"))
    return Record(id, segments, id, True, "", {"input": prompt, "output": answer.strip(), **fields})


def said(record: Record) -> str:
    return record.text


def others(rng: random.Random, pool: Iterable[T], n: int, without: Iterable[T]) -> list[T]:
    """n different members of a pool, none of `without`."""
    barred = set(without)
    return rng.sample([x for x in dict.fromkeys(pool) if x not in barred], n)


def choice(
    rng: random.Random, id: str, prompt: str, right: str, wrong: Iterable[str], cluster: str = "", **fields: Any
) -> Item:
    """The right option stands at a random place."""
    options = [right, *wrong]
    rng.shuffle(options)
    return Item(id, prompt, options.index(right), tuple(options), fields, cluster=cluster)


def written(id: str, prompt: str, answer: str, cluster: str = "", **fields: Any) -> Item:
    """The gold text loses its first space and its full stop, at which generation ends."""
    return Item(id, prompt, answer.strip().removesuffix("."), (), fields, cluster=cluster)


def choices(name: str, items: Iterable[Item], measure: Measure, about: str, chance: float | None = None) -> Task:
    """All items have equally many options; chance is one over their number, unless more than that is easily known."""
    made = tuple(items)
    (n,) = {len(i.options) for i in made}
    return Task(name, "choice", made, "accuracy", measure, chance or 1 / n, about=about)


def writing(
    name: str, items: Iterable[Item], measure: Measure, about: str, max_tokens: int = 24, metric: str = "exact_match"
) -> Task:
    """The answer is generated whole; what chance would give is nothing."""
    return Task(name, "generate", tuple(items), metric, measure, 0.0, max_tokens, STOP, about)


def preceded(task: Task, name: str, context: Callable[[Item], str], measure: Measure, about: str) -> Task:
    """The same items with a context of their own on the lines before the prompt."""
    items = tuple(replace(i, prompt=f"{context(i)}\n{i.prompt}", cluster=i.resampled_with) for i in task.items)
    return replace(task, name=name, items=items, measure=measure, about=about)


def gather(*tasks: Task) -> dict[str, Task]:
    return {task.name: task for task in tasks}


def shuffled(rng: random.Random, values: Iterable[T]) -> list[T]:
    made = list(values)
    rng.shuffle(made)
    return made


def spread(rng: random.Random, values: Sequence[T], n: int) -> list[T]:
    """n values, each as often as any other (but for the remainder), in a random order."""
    return [v for start in range(0, n, len(values)) for v in rng.sample(values, min(len(values), n - start))]
