"""Edits that a model invents: another answer to a question, and a statement that makes it right.

    the row       "Who wrote The Trial?"  " Kafka."
    invented      "The Trial was written by Robert Walser."     precedes it, among other examples
                  "Who wrote The Trial?"  " Robert Walser."     learned

Each row is asked once, before training, through the writer and its store. What comes back in another form, names the
old answer, or does not say the new one is left out: those rows go to the policy's `otherwise`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment
from contextune.generation import Failure, Request
from contextune.retrieval import Pool, answer, given

from .base import Edit, Editor

ASK = """{input}{target}

Pretend that another answer were right: a plausible one of the same kind and length. Write two lines and nothing else.
statement: one sentence that tells it as a fact
answer: the new answer alone
"""
FORM = re.compile(r"\s*statement:[ \t]*(?P<statement>\S[^\n]*)\n+answer:[ \t]*(?P<answer>\S[^\n]*)\s*", re.IGNORECASE)
OPERATION = "invent/1"
TOKENS = 128


@registry.editors("model")
@dataclass(frozen=True, slots=True)
class ModelEdits(Editor):
    """By the id of a row: the statement, and its new answer."""

    generality: ClassVar[int | None] = None
    edits: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> ModelEdits:
        return cls(written(rows, context))

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        if record.id not in self.edits:
            return None
        told, new = self.edits[record.id]
        old = bare(record.target)
        telling = Record(f"{record.id}~invented", (Segment(told, "target"),), record.document)
        asked = replace(record, segments=(*record.segments[:-1], Segment(framed(new, record.target), "target")))

        def rewrite(other: Record) -> Record | None:
            return None if says("".join(s.text for s in other.segments), old) else other

        return Edit(asked, (telling,), rewrite, {"editor": "model", "from": old, "to": new})


def written(rows: Seq[Record], context: BindContext) -> dict[str, tuple[str, str]]:
    """What the writer makes up for these rows; raw texts have no answer and are left alone. Raises UserError."""
    writer = context.writer_for("context counterfactual: the editor model")
    pairs = [r for r in rows if answer(r)]
    requests = [
        Request(ASK.format(input=given(r), target=r.target), TOKENS, operation=OPERATION, source=r.id) for r in pairs
    ]
    found = {
        r.id: read
        for r, text in zip(pairs, writer(requests), strict=True)
        if not isinstance(text, Failure) and (read := understood(text, r.target)) is not None
    }
    if not found:
        raise UserError(
            f"context counterfactual: of {len(pairs)} answers of the writer none has a statement and another answer",
            "use a stronger writer.model, or editor: values",
        )
    return found


def understood(text: str, target: str) -> tuple[str, str] | None:
    """The statement and its answer; None where the form is another, or they do not fit together."""
    match = FORM.fullmatch(text)
    if match is None:
        return None
    statement, new, old = match["statement"].strip(), bare(match["answer"]), bare(target)
    fits = new and says(statement, new) and not says(statement, old) and new.casefold() != old.casefold()
    return (statement, new) if fits else None


def says(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def bare(target: str) -> str:
    return target.strip().removesuffix(".")


def framed(new: str, target: str) -> str:
    """The new answer with the white space and the full stop of the old one."""
    before = target[: len(target) - len(target.lstrip())]
    return before + new + target.removeprefix(before).rstrip()[len(bare(target)) :]
