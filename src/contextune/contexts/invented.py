"""Edits that a model invents: another answer to a question, and a statement that makes it right.

    the row       "Who wrote The Trial?"  " Kafka."
    invented      "The Trial was written by Robert Walser."     stands before it, among other examples
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

from ..errors import UserError
from ..retrieve import answer, given
from ..sequence import Record, Segment
from .base import Scene
from .edits import Edit

ASK = """{input}{target}

Pretend that another answer were right: a plausible one of the same kind and length. Write two lines and nothing else.
statement: one sentence that tells it as a fact
answer: the new answer alone
"""
FORM = re.compile(r"\s*statement:[ \t]*(?P<statement>\S[^\n]*)\n+answer:[ \t]*(?P<answer>\S[^\n]*)\s*", re.IGNORECASE)
OPERATION = "invent/1"
TOKENS = 128


@dataclass(frozen=True, slots=True)
class Invented:
    """By the id of a row: what is told, and its new answer."""

    made: Mapping[str, tuple[str, str]]

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        if record.id not in self.made:
            return None
        told, new = self.made[record.id]
        old = bare(record.target)
        telling = Record(f"{record.id}~invented", (Segment(told, "target"),), record.document)
        asked = replace(record, segments=(*record.segments[:-1], Segment(framed(new, record.target), "target")))

        def rewrite(other: Record) -> Record | None:
            return None if says("".join(s.text for s in other.segments), old) else other

        return Edit(asked, (telling,), rewrite, {"editor": "model", "from": old, "to": new})

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        return None


def invented(rows: Seq[Record], scene: Scene) -> Invented:
    """What the writer invents for these rows; raw texts have no answer and are left alone. Raises UserError."""
    from ..augment.desk import Asking
    from ..generate import Failure, Request

    if scene.engine is None:
        raise UserError("context edited: the editor model needs a writer", "set writer.model in the recipe")
    pairs = [r for r in rows if answer(r)]
    requests = [
        Request(ASK.format(input=given(r), target=r.target), TOKENS, operation=OPERATION, source=r.id) for r in pairs
    ]
    said = Asking(scene.engine, scene.store, scene.tokenizer, progress=scene.progress)(requests)
    found = {
        r.id: read
        for r, text in zip(pairs, said, strict=True)
        if not isinstance(text, Failure) and (read := understood(text, r.target)) is not None
    }
    if not found:
        raise UserError(
            f"context edited: of {len(pairs)} answers of the writer none has a statement and another answer",
            "use a stronger writer.model, or editor: entities",
        )
    return Invented(found)


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
