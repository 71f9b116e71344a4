"""Step 4, for arms with `before`: the same tasks behind the passages that are found for each question."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq

from contextune.augment.room import window_of
from contextune.core.errors import UserError
from contextune.core.items import Task
from contextune.evaluate.tasks.retrieved import Retrieved, behind_passages

from .contexts import bind_context
from .data import Data


def retrieve(data: Data, arms: Iterable[str], tasks: Seq[Task]) -> dict[str, Retrieved]:
    """The tasks of each arm that has `before`; arms that retrieve alike share theirs. Raises UserError."""
    found: dict[str, Retrieved] = {}
    known: dict[str, Retrieved] = {}
    for arm in arms:
        options = data.recipe.arms[arm].before
        if options is None or not tasks:
            continue
        key = options.model_dump_json()
        if key not in known:
            passages = list(dict.fromkeys(r.text for r in data.records[options.retrieve].records))
            context = bind_context(data, (), "comparing passages")
            try:
                known[key] = behind_passages(tasks, passages, options, data.tokenizer, window_of(data.config), context)
            except UserError as e:
                raise UserError(f"arms.{arm}: before: {e.message}", e.hint) from None
            _warn(data, arm, known[key])
        found[arm] = known[key]
    return found


def _warn(data: Data, arm: str, found: Retrieved) -> None:
    """Say what is retrieved; warn where the window leaves no room for what was asked for."""
    rows = found.account.values()
    items, behind = sum(r["items"] for r in rows), sum(r["behind_passages"] for r in rows)
    right = [r["right"] for r in rows if r["right"] is not None]
    hits = (
        f"; half or more of the right one is there for {sum(right) / len(right):.0%} of those that name it"
        if right
        else ""
    )
    data.say(f"arm {arm}: passages before {behind:,} of {items:,} questions{hits}")
    if short := [name for name, r in found.account.items() if r["passages"] < 1]:
        data.warn(f"arm {arm}: no passage fits before some questions of {', '.join(short[:5])}")
