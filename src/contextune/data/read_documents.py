"""Documents as a person would check them: what each gave, page by page, and what says an earlier paragraph again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.options import parse_options

from . import paths, readers
from .options import Source
from .repeats import paragraphs, repeats

PAGED = ("pdf", "pptx", "epub")
"""Formats with pages, slides or chapters."""


@dataclass(frozen=True)
class DocumentText:
    """A document's text; `pages` where its format has them, `removed`: lines taken out of them with how often."""

    shown: str
    name: str
    format: str
    text: str
    title: str = ""
    pages: tuple[str, ...] | None = None
    removed: Counter[str] = field(default_factory=Counter)

    @cached_property
    def paragraphs(self) -> list[str]:
        return paragraphs(self.text)

    @property
    def words(self) -> int:
        return len(self.text.split())


@dataclass(frozen=True)
class DocumentTexts:
    """`repeats`: (document, paragraph) that says an earlier one again, and which; `failed`: (file, reason)."""

    documents: list[DocumentText]
    repeats: dict[tuple[int, int], tuple[int, int]]
    failed: list[tuple[str, str]]
    passed_over: tuple[str, ...]

    def counts(self) -> dict[str, Any]:
        return {
            "documents": len(self.documents),
            "paragraphs": sum(len(d.paragraphs) for d in self.documents),
            "repeated": len(self.repeats),
            "removed": sum(sum(d.removed.values()) for d in self.documents),
            "failed": [{"file": file, "reason": reason} for file, reason in self.failed],
            "passed_over": list(self.passed_over),
        }


def documents_source(given: Seq[str]) -> Source:
    """The source of files, folders and globs that are named. Raises UserError."""
    return parse_options(lambda: Source(path=tuple(given)), "documents")


def read_documents(source: Source, folder: Path, say: Callable[[str], None]) -> DocumentTexts:
    """Files that cannot be read are listed, the others are read. UserError where none can be read."""
    found = paths.find(source, folder)
    made, failed = list[DocumentText](), list[tuple[str, str]]()
    for place, file in enumerate(found.files, 1):
        say(f"reading {file.shown} ({place} of {len(found.files)})")
        try:
            made += _texts(file)
        except UserError as e:
            failed.append(
                (file.shown, f"{e.message.removeprefix(f'{file.shown}: ')}; {e.hint}" if e.hint else e.message)
            )
    if not made:
        bad, reason = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise UserError(f"none of the documents can be read: {bad}: {reason}{more}", "give others")
    where = [(d, i) for d, one in enumerate(made) for i in range(len(one.paragraphs))]
    said = repeats([p for one in made for p in one.paragraphs])
    return DocumentTexts(made, {where[i]: where[j] for i, j in said.items()}, failed, found.ignored)


def _texts(file: paths.File) -> Iterator[DocumentText]:
    if file.format in paths.DOCUMENTS:
        from .rich import read

        found = read(file)
        pages = found.pages if file.format in PAGED else None
        yield DocumentText(file.shown, file.name, file.format, found.text, found.title, pages, found.removed)
        return
    for row in next(iter(readers.parts(Source(path=file.shown), [file]))):
        text = row.values.get("text")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{row.origin}: no text", "documents have a column 'text'")
        title = row.values.get("title")
        yield DocumentText(row.origin, row.name, file.format, text, title if isinstance(title, str) else "")
