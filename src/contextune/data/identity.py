"""What a source holds, and the hash of all that decides what is learned from it."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .documents import Document

if TYPE_CHECKING:
    from contextune.data.options import Source


@dataclass(frozen=True, slots=True)
class Documents:
    """What a source holds, divided in `documents` (to train on), `held_out` (to test on) and `validation`."""

    documents: Seq[Document]
    held_out: Seq[Document]
    read: int
    """Documents in all."""
    repeated: tuple[str, ...]
    """Documents that say what an earlier one says, in the normal form, each with that one; they are kept."""
    characters: int
    files: int
    """Files that were read."""
    passed_over: tuple[str, ...]
    """Files that were not, with the reason where it is not the suffix."""
    fingerprint: str
    """Changes with any content, its order, and every option that decides what is learned from it."""
    validation: Seq[Document] = ()
    read_as: str = ""
    """The schema by which the rows were read, with its columns, where they are not ours."""

    @property
    def duplicates(self) -> int:
        return len(self.repeated)

    @property
    def ignored(self) -> int:
        return len(self.passed_over)


def identity(document: Document, content: str) -> tuple[object, ...]:
    """All of a document that a record or a context policy may depend on. Its place in the file system is not."""
    made = [(r.id, r.ends, dict(r.fields)) for r in document.records]
    return document.id, content, dict(document.fields), made


def deciding(source: Source, seed: int) -> dict[str, object]:
    """What decides the records beside the documents. Columns and template show in the documents."""
    options = source.model_dump(include={"kind", "separator", "chunk", "overlong", "held_out"})
    options |= {"validation": source.validation} if source.validation else {}
    return options | ({"seed": seed} if source.held_out or source.validation else {})
