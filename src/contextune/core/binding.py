"""What an extension is given when it is bound: one object, of one name, for all kinds of extensions."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import UserError
from .sequence import Record, Tokenizer


class TextWriter(Protocol):
    """Who writes texts, behind a store: nothing is asked twice (`generation.stored_writer.StoredWriter`)."""

    @property
    def identity(self) -> str:
        """Hash of what answers."""
        ...

    def __call__(self, requests: Seq[Any]) -> list[Any]:
        """The answer (str) or Failure of each Request, in their order."""
        ...

    def key(self, request: Any) -> str:
        """The store's key of a request."""
        ...

    def require(self, requests: Seq[Any]) -> list[str]:
        """The answers; UserError, at the end, that lists the requests without one."""
        ...

    def separate(self) -> TextWriter:
        """The same writer with its own count of requests and failures."""
        ...

    def refuse(self, share: float | None, where: str) -> str:
        """What failed, in words; UserError where it is more than a share of all requests (None: a twentieth, what the
        writer cannot answer in any run left out)."""
        ...


def _silent(text: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, slots=True)
class BindContext:
    """What an extension may look at: never a test item, never another arm.

    Each kind of extension uses some of it: policies `records` and `source`, operations `writer` and `corpus`, filters
    `load_model` and `apply`. What does not exist in a place is None or empty.
    """

    tokenizer: Tokenizer
    records: Seq[Record] = ()
    """The records of the stage, or those that are augmented."""
    folder: Path | None = None
    """Paths in options are relative to this folder (the recipe's)."""
    source: Callable[[str], Seq[Record]] | None = None
    """The records of a source by name, for policies that name it in `sources`."""
    model: str | None = None
    """Folder or hub id of the recipe's model, untrained."""
    load_model: Callable[[], Any] | None = None
    """Loads that model, for extensions that ask it how likely a text is."""
    writer: TextWriter | None = None
    """Who writes texts; nothing is loaded or contacted before something is asked."""
    prompt_style: str = "plain"
    """The prompts that the writer is asked with: plain (instruction-tuned models) or pocket (the embedded model)."""
    prompt_tokens: int = 2048
    """Tokens of a prompt at most: what the writer's context leaves beside its answer."""
    corpus: Seq[Any] = ()
    """Every document of the augmented sources (`augment.base.Passage`), for operations that link them."""
    apply: Callable[[Seq[Any], str], Seq[str | None]] | None = None
    """Applies an operation, by name, to inferred texts: round trips. None for a text without an answer."""
    tokens: int = 8192
    """Tokens computed at once at most."""
    seed: int = 0
    cache: Path | None = None
    """Folder for what takes long to compute; None: keep nothing."""
    say: Callable[[str], None] = _silent
    """Tells the user what was found."""
    warn: Callable[[str], None] = _silent
    """Tells the user, and the report, what is not as it should be."""
    progress: Callable[[int, int], None] | None = None
    """Is told (done, total) while something takes long."""

    def writer_for(self, what: str) -> TextWriter:
        """The writer; UserError, which names `what` asks for it, where there is none."""
        if self.writer is None:
            raise UserError(f"{what} needs a writer", "set writer.model in the recipe")
        return self.writer
