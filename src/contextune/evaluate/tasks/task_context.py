"""Tasks with a context before their prompts: prompts on at test time, as well as off.

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

from contextune.contexts import BoundPolicy, Policy, bind_policy, parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.items import Task
from contextune.core.options import fix_of, found
from contextune.core.sequence import DrawKey, Record, Tokenizer


def placed(
    tasks: Seq[Task], before: Any, suffix: Any, folder: Path, tokenizer: Tokenizer | None, where: str
) -> list[Task]:
    """The tasks with a drawn context in front of every prompt; they say nothing of the five measures.

    Raises UserError where the policy needs more than an item's name (such as a pool of examples).
    """
    if not isinstance(suffix, str) or not suffix:
        raise UserError(
            f"{where}: suffix: expected a word for the tasks' names, found {suffix!r:.40}", "suffix: behind"
        )
    if isinstance(before, Mapping) and "retrieve" in before:
        raise UserError(
            f"{where}: before: passages are retrieved for an arm, whose tasks stay the same items as the others'",
            "arms: {NAME: {weights_of: ARM, before: {retrieve: SOURCE}}}",
        )
    policy = _policy(before, where)
    if tokenizer is None:
        return [replace(t, name=f"{t.name}.{suffix}", measure="task") for t in tasks]
    bound = _bound(policy, tokenizer, folder, where)

    def text(task: Task, id: str) -> str:
        drawn = bound.draw(Record(f"{task.name}:{id}", ()), DrawKey(0, 0))
        return "".join(s.text for s in drawn.segments)

    return [
        replace(
            t,
            name=f"{t.name}.{suffix}",
            measure="task",
            items=tuple(replace(i, prompt=text(t, i.id) + i.prompt, cluster=i.resampled_with) for i in t.items),
            about=f"{t.about}, behind a context ({policy.name})",
        )
        for t in tasks
    ]


def _bound(policy: Policy, tokenizer: Tokenizer, folder: Path, where: str) -> BoundPolicy:
    """The policy bound to no records: a UserError where it draws from records, or needs a writer."""
    try:
        return bind_policy(policy, BindContext(tokenizer, (), folder))
    except UserError:
        raise UserError(
            f"{where}: before: the policy '{policy.name}' cannot precede a task",
            "use prompts or random_tokens; for solved examples give the task graded contexts",
        ) from None


def _policy(before: Any, where: str) -> Policy:
    try:
        return parse(dict(before) if isinstance(before, Mapping) else before)
    except ValidationError as e:
        problem = e.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        message = f"{problem['msg'].removeprefix('Value error, ')}{found(problem)}"
        raise UserError(f"{where}: before.{key}: {message}", fix_of(problem)) from None
    except ValueError:
        raise UserError(
            f"{where}: before: expected a context policy, found {before!r:.40}", "{policy: prompts}"
        ) from None
