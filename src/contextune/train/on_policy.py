"""Answers that the model writes while it is trained, in the place of those of an update's rows.

    teacher   c c c x x y y          c c c x x z z z </s>       z: written after x by the student as it is,
    student         x x y y                x x z z z </s>          or after c x by the teacher

The engine is that of all writing (generation/local.py). A request's stream of random numbers is a function of (seed,
update, row), and tokens at once are fixed, so that a resumed run writes the same.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from contextune.core.sequence import IGNORED, DrawKey, Rendered, Tokenizer
from contextune.generation.local import ON_CPU, LocalEngine
from contextune.generation.protocol import Request

from .objectives import Writing

ON_GPU = 65_536
"""Tokens at once on a GPU."""

Answer = tuple[int, ...] | None
"""Ids that were written, the token that ends them among them; None for a row without a prompt, which keeps its own."""


@dataclass(frozen=True)
class AnswerWriter:
    """Who writes for a stage of that seed; no row becomes longer than `max_length` (tokens)."""

    tokenizer: Tokenizer
    seed: int
    max_length: int

    def answers(self, model: Any, rows: Seq[Rendered], writing: Writing, step: int) -> list[Answer]:
        """One answer a row, written by the model as it is now."""
        asked = [i for i, row in enumerate(rows) if self._asks(row)]
        requests = [self._request(rows[i], i, writing, step) for i in asked]
        seen = [rows[i] if writing.by == "teacher" else rows[i].bare or rows[i] for i in asked]
        engine = LocalEngine(model, self.tokenizer, ON_CPU if model.device.type == "cpu" else ON_GPU)
        written = engine.continuations([list(prompt_of(row)) for row in seen], requests)
        found = dict(zip(asked, map(tuple, written), strict=True))
        return [found.get(i) for i in range(len(rows))]

    def _asks(self, row: Rendered) -> bool:
        """Whether anything but control tokens precedes the answer for the student."""
        return not set(prompt_of(row.bare or row)) <= set(self.tokenizer.all_special_ids)

    def _request(self, row: Rendered, place: int, writing: Writing, step: int) -> Request:
        longest = max(len(prompt_of(seen)) for seen in (row, row.bare or row))
        seed = DrawKey(self.seed, step).rng("answers", place).getrandbits(31)
        return Request("", max(1, min(writing.max_tokens, self.max_length - longest)), writing.temperature, seed)


def prompt_of(row: Rendered) -> tuple[int, ...]:
    """What precedes the last run of targets."""
    end = max(i for i, label in enumerate(row.labels) if label != IGNORED)
    while end > 0 and row.labels[end - 1] != IGNORED:
        end -= 1
    return row.ids[:end]


def with_answers(rows: Seq[Rendered], answers: Seq[Answer], skip: int) -> list[Rendered]:
    """The rows with what was written as their only targets, but for its first `skip` tokens; those that have none left
    are left out."""
    made = [row if answer is None else _answered(row, answer, skip) for row, answer in zip(rows, answers, strict=True)]
    return [row for row in made if row.trained]


def _answered(row: Rendered, answer: tuple[int, ...], skip: int) -> Rendered:
    prompt = prompt_of(row)
    labels = (*repeat(IGNORED, len(prompt) + min(skip, len(answer))), *answer[skip:])
    bare = None if row.bare is None else _answered(row.bare, answer, skip)
    return replace(row, ids=(*prompt, *answer), labels=labels, bare=bare)
