"""What is asked of a text generator, and what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from contextune.core.items import Turns


@dataclass(frozen=True, slots=True)
class Request:
    """One text to be written.

    `temperature` 0 is greedy; `seed` matters above that. The answer ends before the first of `stop`.
    `operation` says what asks, with its version. `source` says for which row: it is kept and shown,
    and is no part of what is asked. `schema` is a JSON Schema as text: the answer is then JSON that fits
    it. `cut` takes an answer that `max_tokens` cut short; else that is a Failure. `judge` gives the reason why
    an answer is of no use to who asks, "" where it is of some; it is no part of what is asked either.

    `turns` asks the same as a conversation, (role, text) each, the user's last: a writer with a chat template, or
    a server's messages, gets it instead of `prompt`. `begin` is what the answer begins with: it is put into the
    model's mouth, but for a server's messages, which cannot say so; the answer has it.
    """

    prompt: str
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    operation: str = ""
    source: str = field(default="", compare=False)
    schema: str = ""
    cut: bool = False
    judge: Callable[[str], str] | None = field(default=None, compare=False, repr=False)
    turns: Turns = ()
    begin: str = ""

    def key(self, identity: str) -> str:
        """A hash of everything that decides the answer of the engine of that identity."""
        sampling = [self.max_tokens, float(self.temperature), self.seed, list(self.stop)]
        later = {k: v for k in ("schema", "cut", "turns", "begin") if (v := getattr(self, k))}  # old keys stay
        text = json.dumps([identity, self.prompt, sampling, self.operation, *([later] if later else [])])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def without_system(turns: Turns) -> Turns:
    """The same conversation for those that know no system turn: the first user's turn begins with it."""
    if len(turns) < 2 or turns[0][0] != "system":
        return turns
    (_, system), (role, text), *rest = turns
    return (role, f"{system}\n\n{text}"), *rest


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens read and written and the seconds it took, as far as they are known."""

    read: int | None = None
    wrote: int | None = None
    seconds: float | None = None


class Answer(str):
    """A text that knows what it cost. Any engine may answer with a plain `str` instead."""

    __slots__ = ("cost",)

    cost: Cost

    def __new__(cls, text: str, cost: Cost) -> Answer:
        made = super().__new__(cls, text)
        made.cost = cost
        return made


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no answer. It is asked again in the next run.

    Where `asked` is false nothing was sent for it: a budget was spent, or the server had stopped answering.
    `passing` says that the engine was to blame, not the request: a time-out, a lost connection.
    """

    reason: str
    asked: bool = field(default=True, compare=False)
    passing: bool = field(default=False, compare=False)
    cost: Cost = field(default=Cost(), compare=False)


class Engine(Protocol):
    """A text generator. It may also have a `name`, which the store keeps for people to read."""

    @property
    def identity(self) -> str:
        """A hash of what answers: weights and tokenizer, or a server and its model's name."""
        ...

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        """(place in `requests`, its answer) once for each, in any order, as soon as it is there."""
        ...
