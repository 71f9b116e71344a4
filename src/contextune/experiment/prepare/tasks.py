"""Step 4: load the tasks that arms are judged on."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import product

from contextune.augment.prompt_style import style_of
from contextune.augment.room import window_of
from contextune.core.errors import UserError, nearest
from contextune.core.items import Item, Task
from contextune.data import Documents
from contextune.evaluate.general import first_kl, readable, shipped
from contextune.evaluate.scoring import outcomes
from contextune.evaluate.tasks.chat import refuse_unused_system
from contextune.evaluate.tasks.load import load_task, members

from ..recipe import Recipe
from .data import Data


def load_tasks(data: Data) -> list[Task]:
    """Every task of `evaluate`, its items checked. Raises UserError."""
    recipe, window = data.recipe, window_of(data.config)
    tasks = [
        task
        for spec in recipe.evaluate.tasks
        for task in load_task(
            spec, data.base, recipe.evaluate.limit, data.tokenizer, recipe.data, window, data.asking, data.kept
        )
    ]
    tasks += [
        _perplexity(name, data.documents[name], recipe.data[name].separator) for name in recipe.evaluate.perplexity
    ]
    _refuse_same_names(recipe, tasks)
    _refuse_unknown(recipe, tasks)
    refuse_unused_system(recipe.evaluate, tasks)
    return tasks


def load_general(data: Data, tasks: Seq[Task]) -> Task | None:
    """The text on which it is measured how far models move from the first one; None where that is off, or where no
    task is there and none was named, or no text that the tokenizer knows."""
    how, name = data.recipe.evaluate.general, data.recipe.general
    if how == "off" or (how == "auto" and not tasks):
        return None
    if name is not None:
        items = _held_out("evaluate.general", name, data.documents[name], data.recipe.data[name].separator)
        return first_kl(name, items, data.tokenizer)
    texts = shipped(style_of(data.model))
    if not readable(texts, data.tokenizer):
        return None
    return first_kl("shipped", (Item(f"general-{i}", "", text) for i, text in enumerate(texts)), data.tokenizer)


def _held_out(key: str, name: str, documents: Documents, separator: str) -> tuple[Item, ...]:
    """Held-out texts, or held-out completions after their prompts and the separator, as they are trained on."""
    items = tuple(
        Item(d.id, d.prompt, d.text or (d.completion and separator + d.completion)) for d in documents.held_out
    )
    if not all(item.answer for item in items):
        raise UserError(f"{key}: {name} holds conversations or a world's records", "name texts or pairs")
    return items


def _perplexity(name: str, documents: Documents, separator: str) -> Task:
    items = _held_out("evaluate.perplexity", name, documents, separator)
    return Task(f"perplexity.{name}", "perplexity", items, "perplexity", about=f"held-out documents of {name}")


def _refuse_same_names(recipe: Recipe, tasks: Seq[Task]) -> None:
    """UserError where two tasks have one name, or two outcomes one file, also where disks ignore the case."""
    seen: set[str] = set()
    for task in tasks:
        if task.name in seen:
            raise UserError(f"evaluate.tasks: the task '{task.name}' is there twice", "give one of them another name")
        seen.add(task.name)
    files: dict[str, tuple[str, str]] = {}
    for arm in recipe.arms:
        for seed, task in product(recipe.seeds_of(arm), tasks):
            name = outcomes.file_name(arm, seed, task.name)
            other = files.setdefault(name.casefold(), (arm, task.name))
            if other != (arm, task.name):
                raise UserError(
                    f"the outcomes of arm '{arm}' in task '{task.name}' and of arm '{other[0]}' in task '{other[1]}' "
                    f"would be one file, {name}",
                    "give one of them another name",
                )


def _refuse_unknown(recipe: Recipe, tasks: Seq[Task]) -> None:
    names = [t.name for t in tasks]
    for name in recipe.compare.tasks:
        if not set(members(name)) <= set(names):
            raise UserError(f"compare.tasks: no task '{name}'", nearest(name, names))
