"""Names and descriptions (Berglund et al. 2023, arXiv 2309.12288, experiment 1).

Three groups of people that share nobody:

    name_first          "note that Kalo is the painter of the silver bridge."      -> asked for Kalo
    description_first   "note that the keeper of the green lamp is Mido."          -> asked for the description
    both                either, in texts of their own

Options are four; wrong ones are drawn from all people, whatever their group. A model that prefers what
it saw as a target in training is then below chance on the reversal: only 3 % of its items have no wrong
name that was a target. With `path` the public files of the paper give the same tests.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.items import Task
from contextune.core.sequence import Record
from contextune.core.world import World

from . import language, listening, making, measures, people, resisting
from .association import association
from .grammar import OPENINGS, Told, own_names
from .people import PersonRow

SIZES = {
    "paper": {"people": 30, "train_templates": 30, "test_templates": 10, "probes": 100, "context": 4},
    "small": {"people": 12, "train_templates": 10, "test_templates": 3, "probes": 40, "context": 4},
}
DescriptionTemplate = tuple[str, int]
"""An opening and one of the two wordings, or "question" and one of the two questions."""
TEMPLATES: tuple[DescriptionTemplate, ...] = (*product(("", *OPENINGS), (0, 1)), ("question", 0), ("question", 1))
ABOUT = "people and what they are known as, told in one order and asked in the other"


@registry.worlds("descriptions")
def descriptions(seed: int = 0, size: str = "paper", path: str | None = None, **given: int) -> World:
    """Groups of records: train; oracle: every one-sided fact in its other order.

    Sizes, each an option of its own: people (in each of the three groups), train_templates, test_templates,
    probes, context. `path` is a folder of the public reversal-curse files: all of them, or of `people` and templates as
    many as are given. `seed` draws the wrong options and says which people: as many further on for each seed.
    """
    n = making.sizes("descriptions", size, SIZES, **given)
    draws = partial(making.draws, "descriptions", seed)
    if path is not None:
        if "probes" in given:
            raise UserError("world 'descriptions': probes has no effect with path", "remove it")
        return _imported(draws, Path(path), n["context"], people.Part(seed, **_part(given)))
    if n["train_templates"] + n["test_templates"] > len(TEMPLATES):
        raise UserError(
            f"world 'descriptions': there are {len(TEMPLATES)} templates to train and test with",
            "lower train_templates",
        )
    order = draws("templates").sample(TEMPLATES, len(TEMPLATES))
    train, test = order[: n["train_templates"]], order[-n["test_templates"] :]
    groups = _people(draws("people"), n["people"])
    one_sided = [*groups["name_first"], *groups["description_first"]]
    records = {
        "train": tuple(_texts(draws("texts"), groups, train)),
        "oracle": tuple(_record(f"oracle-{i}", "oracle", t.reversed, train[0]) for i, t in enumerate(one_sided)),
    }
    tests = _tests(groups, test)
    taken = {side for told in groups.values() for t in told for side in (t.first, t.last)}
    tasks = making.gather(
        *people.tasks(draws, tests, records["train"], n["context"]),
        *people.written(tests),
        *_measures(draws, one_sided, taken, n),
    )
    known = association(map(making.said, records["train"]), tasks)
    return World("descriptions", records, tasks, ABOUT, {"association": known, "sizes": n})


def _part(given: dict[str, int]) -> dict[str, int]:
    return {k: v for k, v in given.items() if k != "context"}


def _imported(draws: people.PeopleDraws, path: Path, context: int, part: people.Part) -> World:
    train, oracle, tests = people.read(path, part)
    asked = people.tasks(draws, tests, train, context)
    taught = {"taught": True}  # of a description all words are, in the other order: they are more than 13
    tasks = making.gather(*(replace(task, fields=taught) for task in asked))
    known = association(map(making.said, train), tasks)
    groups = {"train": train, **({"oracle": oracle} if oracle else {})}
    return World("descriptions", groups, tasks, ABOUT, {"association": known, "path": str(path)})


def _people(rng: random.Random, n: int) -> dict[str, list[Told]]:
    """Each fact as its group tells it; those of `both` name first."""
    names, known = own_names(rng, 3 * n, "descriptions"), list[str]()
    while len(known) < 3 * n:
        if (new := language.description(rng)) not in known:
            known.append(new)
    facts = [language.Fact("described", name, what) for name, what in zip(names, known, strict=True)]
    return {
        "name_first": [Told(f) for f in facts[:n]],
        "description_first": [Told(f, "backward") for f in facts[n : 2 * n]],
        "both": [Told(f) for f in facts[2 * n :]],
    }


def render(told: Told, template: DescriptionTemplate) -> tuple[str, str]:
    """Prompt and answer in a template: ("note that Kalo is", " the painter of the silver bridge.")."""
    opening, variant = template
    told = Told(told.fact, told.side, variant)
    return told.question() if opening == "question" else told.cut(opening)


def _record(id: str, group: str, told: Told, template: DescriptionTemplate) -> Record:
    fact = told.fact
    fields = {"group": group, "person": fact.a, "description": fact.b, "side": told.side}
    return making.text(id, "".join(render(told, template)), **fields)


def _texts(rng: random.Random, groups: dict[str, list[Told]], templates: list[DescriptionTemplate]) -> list[Record]:
    told = [(group, t) for group, facts in groups.items() for t in facts]
    told += [("both", t.reversed) for t in groups["both"]]
    made = [
        _record(f"{t.side}-{t.fact.a}-{j}", group, t, template)
        for group, t in told
        for j, template in enumerate(templates)
    ]
    return making.shuffled(rng, made)


def _tests(groups: dict[str, list[Told]], templates: list[DescriptionTemplate]) -> dict[str, list[PersonRow]]:
    asked = {
        "forward_name_first": groups["name_first"],
        "forward_description_first": groups["description_first"],
        "forward_both": [*groups["both"], *(t.reversed for t in groups["both"])],
        "reversal_name_first": [t.reversed for t in groups["name_first"]],
        "reversal_description_first": [t.reversed for t in groups["description_first"]],
    }
    return {
        name: [_row(name, i, j, t, where) for i, t in enumerate(told) for j, where in enumerate(templates)]
        for name, told in asked.items()
    }


def _row(test: str, i: int, j: int, told: Told, template: DescriptionTemplate) -> PersonRow:
    id, person = f"{test}-{i}-{j}", told.fact.a
    return PersonRow(id, person, str(j), "description" if told.side == "forward" else "name", *render(told, template))


def _measures(draws: people.PeopleDraws, trained: list[Told], taken: set[str], n: dict[str, int]) -> list[Task]:
    pool, probes, k = [language.DESCRIBED], n["probes"], n["context"]
    return [
        *listening.forms(draws, trained, pool, probes, k, taken),
        *resisting.forms(draws, trained, pool, probes, k, taken),
        measures.retain(draws("retain"), probes, taken),
    ]
