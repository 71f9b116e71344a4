"""Tasks asked through a chat template: which are, by the recipe's word, and with which system turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from contextune.core.errors import UserError
from contextune.core.items import Task
from contextune.core.sequence import Tokenizer

from ..options import Evaluate


@dataclass(frozen=True, slots=True)
class Asking:
    """How tasks are asked that do not say so themselves, and the system turn of all that say none of their own."""

    chat: bool = False
    system: str = ""

    @property
    def keys(self) -> dict[str, Any]:
        return {"system": self.system} if self.system else {}

    def of_spec(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        """A task file's keys with what the recipe says; its own `chat` goes before."""
        own = keys.get("chat", self.chat and keys.get("kind") != "perplexity")
        if own is True or isinstance(own, Mapping):
            return {**keys, "chat": {**self.keys, **({} if own is True else own)}}
        return dict(keys)

    def of_task(self, task: Task) -> Task:
        """A task that comes written out (a world's): its prompts are the user's, its options the assistant's."""
        if not self.chat or task.chat or task.kind == "perplexity":
            return task
        turns = (("system", self.system),) if self.system else ()
        items = tuple(
            replace(i, turns=turns, options=tuple(o.lstrip() for o in i.options), cluster=i.resampled_with)
            for i in task.items
        )
        return replace(task, items=items, chat=True, stop=() if task.stop == ("\n",) else task.stop)


AS_WRITTEN = Asking()


def asking(evaluate: Evaluate, tokenizer: Tokenizer, trained: Iterable[str]) -> Asking:
    """How a recipe's tasks are asked; `trained` are the kinds of the sources that its arms are trained on.

    auto: through the template where the tokenizer has one and arms are trained on conversations and nothing else, so
    that they are asked in the form in which they were taught; the same for all arms, untrained ones too.
    Raises UserError where there is no template to ask through.
    """
    kinds, template = set(trained), bool(tokenizer.chat_template)
    if evaluate.chat == "on" and not template:
        raise UserError(
            "evaluate.chat is on, and the model's tokenizer has no chat template",
            "set evaluate.chat: off, or take a chat or instruct model",
        )
    chat = evaluate.chat == "on" or (evaluate.chat == "auto" and template and kinds == {"messages"})
    return Asking(chat, evaluate.system)


def refuse_unused_system(evaluate: Evaluate, tasks: Iterable[Task]) -> None:
    """UserError for a system turn that no task is asked with."""
    if evaluate.system and not any(task.chat for task in tasks):
        raise UserError(
            "evaluate.system has no effect: no task is asked through the chat template",
            "set evaluate.chat: on, or a task's chat: true",
        )
