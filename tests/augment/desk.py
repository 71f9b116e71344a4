"""A BindContext whose writer is a function, and what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from contextune.augment import Passage
from contextune.core.binding import BindContext
from contextune.generation.protocol import Failure, Request

Answer = Callable[[Request], str | Failure]


class Letters:
    """A tokenizer of one token a word, as far as budgets need one."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [len(w) for w in text.split()]


class Scripted:
    """Answers by `answer`; `asked` holds the prompts in their order, `calls` how many there were at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked, self.calls = answer, list[str](), list[int]()

    def __call__(self, requests: list[Request]) -> list[str | Failure]:
        self.asked += [r.prompt for r in requests]
        self.calls.append(len(requests))
        return [self.answer(r) for r in requests]

    def key(self, request: Request) -> str:
        return f"key-{request.source}"


def bind_context(
    answer: Answer = lambda r: "nothing",
    corpus: tuple[Passage, ...] = (),
    style: str = "plain",
    room: int = 1000,
    folder: Path | None = None,
    seed: int = 0,
) -> tuple[BindContext, Scripted]:
    script = Scripted(answer)
    made = BindContext(
        Letters(),
        folder=folder,
        writer=script,
        prompt_style=style,
        prompt_tokens=room,
        corpus=corpus,
        seed=seed,  # type: ignore[arg-type]
    )
    return made, script


def passage(id: str, text: str, **given: object) -> Passage:
    return Passage(id, text, given.pop("record", id), **given)  # type: ignore[arg-type]
