"""What an operation is: options that a recipe writes, and what it makes of the passages it is given.

An operation is one small file: a pydantic model of its options, registered by name, whose `infer`
reads passages, asks a writer for texts (or none, where no model is needed) and yields what was made,
each with where it came from. Nothing outside the file knows the operation's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.options import Named, named, parse_named


@dataclass(frozen=True, slots=True)
class Passage:
    """What an operation reads: a sentence, or a document whole."""

    id: str
    """The record's id, with "/2" behind it for its third sentence."""
    text: str
    record: str
    """Id of the record that it was cut from."""
    document: str = ""
    before: str = ""
    """What precedes it in its document."""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inferred:
    """A text that was inferred, and all that is needed to trace it to its source."""

    text: str
    """What is trained on."""
    passage: Passage
    operation: str
    """Name and version: "reversal/1"."""
    prompt: str = ""
    """What precedes the text in the context, such as a question."""
    seen: tuple[str, ...] = ()
    """Ids of the other passages that the writer had in its context."""
    read: str = ""
    """Their text: what may be named beside what the passage itself names."""
    shown: tuple[str, ...] = ()
    """The demonstrations in the writer's prompt."""
    request: str = ""
    """The store's key of the request that was answered so; empty where no model was asked."""


class Operation(Named):
    """Options of an operation; subclasses add fields and `infer`."""

    key: ClassVar[str] = "operation"
    version: ClassVar[int] = 1
    reads: ClassVar[Literal["sentence", "document"]] = "sentence"

    samples: int = Field(1, ge=1, le=1000, description="texts asked for each passage")

    @property
    def label(self) -> str:
        return f"{self.name}/{self.version}"

    def infer(self, passages: Seq[Passage], context: BindContext) -> Iterator[Inferred]:
        """What follows from each passage. A request that failed yields nothing; the store lists it."""
        raise NotImplementedError

    def content(self, folder: Path | None, prompt_style: str = "plain") -> object:
        """What, besides the options, decides the texts (a prompt file): part of a run's identity."""
        return None


OperationOption = named(registry.operations, Operation.key)
"""An operation among the options of something: its name, or a mapping with the key `operation`."""


def parse_operation(value: object) -> Operation:
    """An operation as a recipe writes it."""
    operation: Operation = parse_named(value, registry.operations, Operation.key)
    return operation
