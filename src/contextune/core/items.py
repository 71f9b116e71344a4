"""What is asked of a model: items, gathered in tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Turns = tuple[tuple[str, str], ...]
"""(role, text) of a conversation, in order."""
Measure = Literal["task", "learn", "generalise", "listen", "resist", "retain"]
"""What an item's score says of an arm; `task` where a benchmark says none of the five."""


class Prompt(str):
    """A prompt and the text of the templates that wrote it."""

    template: str

    def __new__(cls, text: str, template: str = "") -> Prompt:
        made = super().__new__(cls, text)
        made.template = template
        return made


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    choice:      `options` are the continuations exactly as they follow `prompt` (leading space
                 included), `answer` the index of the right one.
    generate:    `answer` is the gold text; `options`, where given, are the labels that may be found
                 in the output.
    perplexity:  `answer` is the text that is scored after `prompt` (mostly "").
    """

    id: str
    prompt: str
    answer: int | str
    options: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    turns: Turns = ()
    """Of a chat task: what precedes the user's turn, which is `prompt`."""
    alone: str | None = None
    """The prompt without its context, where it has one; asked too, to see what an answer owes to the context."""
    cluster: str = ""
    """The fact that it asks about: items of one cluster, in whatever tasks, are resampled together."""
    before: str = ""
    """What one arm is shown before the prompt, such as retrieved passages; in all arms the item is the same."""

    @property
    def gold(self) -> str:
        return self.options[self.answer] if isinstance(self.answer, int) else self.answer

    @property
    def resampled_with(self) -> str:
        """Its cluster; where it names none, what it asks with the right answer, so that an item that stands in two
        tasks is one.
        """
        return self.cluster or "\n".join([*(text for _, text in self.turns), question(self.prompt, self.gold)])


def question(prompt: str, gold: str) -> str:
    """The cluster of items that ask this and name no other, as choices or written."""
    return f"{prompt.strip()}\n{gold.strip().removesuffix('.')}"


@dataclass(frozen=True, slots=True)
class Task:
    """Items that are asked and scored alike. `metric` is the one that decides comparisons."""

    name: str
    kind: Literal["choice", "generate", "perplexity"]
    items: tuple[Item, ...]
    metric: str
    measure: Measure = "task"
    chance: float | None = None
    max_tokens: int = 32
    stop: tuple[str, ...] = ("\n",)
    about: str = ""
    chat: bool = False
    """Asked through the tokenizer's chat template."""
    template: str = ""
    """What the recipe's own templates spell: control tokens in it are control tokens in the prompts."""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def asked(self, item: Item) -> str | Turns:
        """What the model reads of an item: a text, or a conversation that the assistant is to continue."""
        said = item.before + item.prompt
        return (*item.turns, ("user", said)) if self.chat else Prompt(said, self.template)
