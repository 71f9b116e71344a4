"""What is asked of a text generator, and what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One text to be written.

    `temperature` 0 is greedy; `seed` matters above that. The answer ends before the first of `stop`.
    `operation` says what asks, with its version. `source` says for which row: it is kept and shown,
    and is no part of what is asked.
    """

    prompt: str
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    operation: str = ""
    source: str = field(default="", compare=False)

    def key(self, identity: str) -> str:
        """A hash of everything that decides the answer of the engine of that identity."""
        sampling = [self.max_tokens, float(self.temperature), self.seed, list(self.stop)]
        text = json.dumps([identity, self.prompt, sampling, self.operation])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no answer. It is asked again in the next run."""

    reason: str


class Engine(Protocol):
    """A text generator."""

    @property
    def identity(self) -> str:
        """A hash of what answers: weights and tokenizer, or a server and its model's name."""
        ...

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        """(place in `requests`, its answer) once for each, in any order, as soon as it is there."""
        ...
