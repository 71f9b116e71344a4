"""Tasks asked behind a context: prompts on at test time, as well as off.

before: {policy: prompts, set: learning}      a context policy, drawn for each item by its name
suffix: prompted                              the task's new name is NAME.prompted
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import contexts
from ..errors import UserError
from ..sequence import Moment, Record, Tokenizer
from .items import Task


def placed(
    tasks: Seq[Task], before: Any, suffix: Any, folder: Path, tokenizer: Tokenizer | None, where: str
) -> list[Task]:
    """The tasks with a drawn context in front of every prompt; they say nothing of the five measures.

    Raises UserError where the policy needs more than an item's name (such as a pool of examples).
    """
    if not isinstance(suffix, str) or not suffix:
        raise UserError(f"{where}: suffix: expected a word for the tasks' names, found {suffix!r:.40}")
    policy = _policy(before, where)
    if tokenizer is None:
        return [replace(t, name=f"{t.name}.{suffix}", measure="task") for t in tasks]
    drawing = policy.bind(contexts.Scene(tokenizer, (), folder))

    def text(task: Task, id: str) -> str:
        try:
            drawn = drawing.before(Record(f"{task.name}:{id}", ()), Moment(0, 0))
        except (AssertionError, KeyError, UserError):
            raise UserError(
                f"{where}: before: the policy '{policy.policy}' cannot stand before a task",
                "use prompts or random_tokens; for solved examples give the task graded contexts",
            ) from None
        return "".join(s.text for s in drawn.segments)

    return [
        replace(
            t,
            name=f"{t.name}.{suffix}",
            measure="task",
            items=tuple(replace(i, prompt=text(t, i.id) + i.prompt) for i in t.items),
            about=f"{t.about}, behind a context ({policy.policy})",
        )
        for t in tasks
    ]


def _policy(before: Any, where: str) -> contexts.Policy:
    given: Mapping[str, Any] = {"policy": before} if isinstance(before, str) else before
    if not isinstance(given, Mapping) or "policy" not in given:
        raise UserError(f"{where}: before: expected a context policy, found {before!r:.40}", "{policy: prompts}")
    try:
        return contexts.find(str(given["policy"])).model_validate(dict(given))
    except ValidationError as e:
        problem = e.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise UserError(f"{where}: before.{key}: {problem['msg']}") from None
