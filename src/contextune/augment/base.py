"""What an operation is: options that a recipe writes, and what it makes of the passages it is given.

An operation is one small file: a pydantic model of its options, registered by name, whose `infer`
reads passages, asks a writer for texts (or none, where no model is needed) and yields what was made,
each with where it came from. Nothing outside the file knows the operation's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..registry import Registry

if TYPE_CHECKING:
    from ..generate.base import Failure, Request
    from ..sequence import Tokenizer


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
    """What stands before it in its document."""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A text that was inferred, and all that is needed to trace it to its source."""

    text: str
    """What bears loss."""
    passage: Passage
    operation: str
    """Name and version: "reversal/1"."""
    prompt: str = ""
    """What stands before the text without loss, such as a question."""
    seen: tuple[str, ...] = ()
    """Ids of the other passages that the writer had in its context."""
    read: str = ""
    """Their text: what may be named beside what the passage itself names."""
    request: str = ""
    """The store's key of the request that was answered so; empty where no model was asked."""


Ask = Callable[["Seq[Request]"], "list[str | Failure]"]


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operation may use. Never a test item."""

    ask: Ask
    """The answers in the order of the requests, through the store: nothing is asked twice."""
    key: Callable[[Request], str]
    """The store's key of a request."""
    tokenizer: Tokenizer
    corpus: Seq[Passage] = ()
    """Every document of the sources that are augmented, for operations that link one with the rest."""
    folder: Path | None = None
    """Paths in an operation's options are relative to this folder (the recipe's)."""
    style: str = "plain"
    """Which wording of the prompts: plain (instruction-tuned models), pocket (the embedded model's own language)."""
    room: int = 2048
    """Tokens that a prompt may have at most: what the writer's context leaves beside its answer."""
    seed: int = 0


class Operation(BaseModel):
    """Options of an operation; subclasses add fields and `infer`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]
    version: ClassVar[int] = 1
    reads: ClassVar[Literal["sentence", "document"]] = "sentence"

    operation: str
    samples: int = Field(1, ge=1, description="texts asked for each passage")

    @property
    def label(self) -> str:
        return f"{self.name}/{self.version}"

    def infer(self, passages: Seq[Passage], desk: Desk) -> Iterator[Made]:
        """What follows from each passage. A request that failed yields nothing; the store lists it."""
        raise NotImplementedError

    def content(self, folder: Path | None, style: str = "plain") -> object:
        """What, besides the options, decides the texts (a prompt file): part of a run's identity."""
        return None


_operations: Registry[type[Operation]] = Registry("operation")
register, names, find = _operations.register, _operations.names, _operations.find
