"""Tests of names and descriptions, whether the people are generated or read from the public files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.reading import read_text
from contextune.core.sequence import Record

from . import making

PeopleDraws = Callable[..., random.Random]
Tests = Mapping[str, Sequence["PersonRow"]]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A prompt in one of the test templates that asks for a person's name or description."""

    id: str
    person: str
    template: str
    asks: Literal["name", "description"]
    prompt: str
    answer: str


TESTS = {
    "forward_name_first": ("learn", "told name first: the description, in templates never seen"),
    "forward_description_first": ("learn", "told description first: the name, in templates never seen"),
    "forward_both": ("learn", "told in both orders, asked in both, in templates never seen"),
    "reversal_name_first": ("generalise", "told name first only, asked for the name"),
    "reversal_description_first": ("generalise", "told description first only, asked for the description"),
}


def tasks(draws: PeopleDraws, tests: Tests, train: Sequence[Record], context: int) -> list[Task]:
    """Four-way tests by order and group, the randomised control, and the reversal with its text in context."""
    pools = Pools(row for rows in tests.values() for row in rows)
    made = []
    for name, (measure, about) in TESTS.items():
        rng = draws(name)
        items = [_four(rng, row, row.answer, pools.others(row)) for row in tests[name]]
        made.append(making.choices(name, items, "learn" if measure == "learn" else "generalise", about))
    made.append(_control(draws("control"), tests["reversal_name_first"], pools))
    reversal = next(t for t in made if t.name == "reversal_name_first")
    before = partial(_context, draws, train, context)
    about = f"{reversal.about}, with the person's text among {context} in context"
    return [*made, making.preceded(reversal, "reversal_in_context", before, "task", about)]


def written(tests: Tests) -> tuple[Task, Task]:
    """The reversal to a name, and a description as taught, generated."""
    back, forth = (tests[name] for name in ("reversal_name_first", "forward_name_first"))
    items = [making.written(r.id, r.prompt, r.answer, r.person, person=r.person) for r in back]
    taught = [making.written(r.id, r.prompt, r.answer, r.person, person=r.person) for r in forth]
    return (
        making.writing("forward_written", taught, "learn", "told name first: the description, generated"),
        making.writing("reversal_written", items, "generalise", "told name first only: the name, generated"),
    )


class Pools:
    """Everybody's name, and everybody's description as each template bends it."""

    def __init__(self, rows: Iterable[PersonRow]) -> None:
        self.names: dict[str, str] = {}
        self.descriptions: dict[str, dict[str, str]] = {}
        for row in rows:
            pool = self.names if row.asks == "name" else self.descriptions.setdefault(row.template, {})
            pool[row.person] = row.answer

    def others(self, row: PersonRow) -> list[str]:
        pool = self.names if row.asks == "name" else self.descriptions[row.template]
        return [answer for person, answer in pool.items() if person != row.person]


def _four(rng: random.Random, row: PersonRow, right: str, wrong: list[str]) -> Item:
    fields = {"person": row.person, "template": row.template}
    return making.choice(rng, row.id, row.prompt, right, making.others(rng, wrong, 3, [right]), row.person, **fields)


def _control(rng: random.Random, rows: Sequence[PersonRow], pools: Pools) -> Task:
    """A wrong name of the same group takes the right one's place; the right one is not among the options."""
    group = list(dict.fromkeys(row.person for row in rows))
    items = []
    for row in rows:
        (target,) = making.others(rng, group, 1, [row.person])
        items.append(_four(rng, replace(row, person=target), pools.names[target], pools.others(row)))
    about = "control: the reversal with a random wrong name for a target; no better than this is not known"
    return making.choices("reversal_randomised", items, "task", about)


def _context(draws: PeopleDraws, train: Sequence[Record], k: int, item: Item) -> str:
    """A training text about the item's person among k - 1 about others."""
    rng, about = draws("context", item.id), dict[str, list[Record]]()
    for record in train:
        about.setdefault(record.fields["person"], []).append(record)
    person = item.fields["person"]
    chosen = [person, *making.others(rng, about, k - 1, [person])]
    return "\n".join(making.said(rng.choice(about[p])) for p in making.shuffled(rng, chosen))


# -------------------------------------------------------------------------------- the public files

FILES = {
    "forward_name_first": "p2d_prompts_test",
    "forward_description_first": "d2p_prompts_test",
    "forward_both": "both_prompts_test",
    "reversal_name_first": "p2d_reverse_prompts_test",
    "reversal_description_first": "d2p_reverse_prompts_test",
}
TEMPLATES = 10
"""Rows a person in each test file; in `both_prompts_test` name-first rows come first, then the others."""
TRAINED = 30
"""Rows a person and order in the training file."""


@dataclass(frozen=True, slots=True)
class Part:
    """How much of the public files is taken: people of each group, templates; None: all."""

    seed: int = 0
    """Which people: as many further on for each seed, so that small parts of two seeds share nobody."""
    people: int | None = None
    train_templates: int | None = None
    test_templates: int | None = None

    def of(self, group: Sequence[str]) -> set[str]:
        """The people that are taken of a group."""
        n = self.people or len(group)
        if n > len(group):
            raise UserError(
                f"world 'descriptions': people is {n}, but the files have {len(group)} a group", "lower people"
            )
        return {group[(self.seed * n + i) % len(group)] for i in range(n)}


def read(
    folder: Path, part: Part = Part()
) -> tuple[tuple[Record, ...], tuple[Record, ...], dict[str, list[PersonRow]]]:
    """Training records, reversals that are not asked, and tests of the reversal-curse files (experiment 1,
    june_version_7921032488).

    A completion's chatter after a name ("Uriah Hawthorne now enjoys a quite life.") is left out of the tests. Of
    templates the first ones are trained, or asked; the reversals are those of the test templates that are left.
    Raises UserError where a file is missing or holds something else.
    """
    found = {name: _jsonl(folder / f"{file}.jsonl") for name, file in FILES.items()}
    names = [" ".join(c.split()[:2]).rstrip(".") for c in _first(found)]
    tests = {
        name: [_read_row(name, i, row, names, folder / f"{FILES[name]}.jsonl") for i, row in enumerate(rows)]
        for name, rows in found.items()
    }
    path = folder / "all_prompts_train.jsonl"
    train = [
        making.text(f"train-{i}", p + c, person=_person(p + c, names, path, i)) for i, (p, c) in enumerate(_jsonl(path))
    ]
    taken = {x for rows in tests.values() for x in part.of(list(dict.fromkeys(r.person for r in rows)))}
    trained, asked = part.train_templates or TRAINED, part.test_templates or TEMPLATES
    tests = {name: [r for r in rows if r.person in taken] for name, rows in tests.items()}
    return (
        tuple(r for i, r in enumerate(train) if r.fields["person"] in taken and i % TRAINED < trained),
        tuple(
            making.text(f"oracle-{r.id}", f"{r.prompt}{r.answer}".rstrip(".") + ".", person=r.person)
            for name in ("reversal_name_first", "reversal_description_first")
            for r in tests[name]
            if asked <= int(r.template) < asked + trained
        ),
        {name: [r for r in rows if int(r.template) < asked] for name, rows in tests.items()},
    )


def _first(found: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """One completion for each person that begins with the name."""
    both = found["forward_both"]
    rows = (*found["reversal_name_first"], *found["forward_description_first"], *both[len(both) // 2 :])
    return [completion for _, completion in rows[::TEMPLATES]]


def _read_row(name: str, i: int, row: tuple[str, str], names: list[str], path: Path) -> PersonRow:
    prompt, completion = row
    person = _person(prompt + completion, names, path, i)
    asks: Literal["name", "description"] = "name" if completion.strip().startswith(person) else "description"
    return PersonRow(
        f"{name}-{i}", person, str(i % TEMPLATES), asks, prompt, f" {person}" if asks == "name" else completion
    )


def _person(text: str, names: list[str], path: Path, row: int) -> str:
    found = [name for name in dict.fromkeys(names) if name in text]
    if len(found) != 1:
        where = f"{path}: row {row + 1}"
        raise UserError(f"{where}: expected one person's name, found {len(found)}", "give the public files unchanged")
    return found[0]


def _jsonl(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file", "path is the folder name_description of the reversal-curse data")
    try:
        rows = [json.loads(line) for line in read_text(path, "a file of rows").splitlines()]
        return [(row["prompt"], row["completion"]) for row in rows]
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path}: expected rows with prompt and completion: {e!r}", "a JSON object a line") from None
