"""PDF, DOCX, PPTX, HTML and EPUB as text: one row a file, headings, tables and lists as Markdown writes them.

Each kind is read by a library of its own (extra `documents`): pypdfium2, mammoth, python-pptx, trafilatura, chosen for
what they keep and for their size; none of them loads a model. What repeats on many pages (running heads, page numbers)
is taken out by rule and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from contextune.core.errors import UserError, first_line

from ..paths import File
from ..raw import Row
from . import books, office, pdf, web
from .boilerplate import cleaned
from .page import Page, Unreadable

KINDS: Mapping[str, Callable[[bytes], list[Page]]] = {
    "pdf": pdf.pages,
    "docx": office.docx,
    "pptx": office.pptx,
    "html": web.pages,
    "epub": books.pages,
}
LARGEST = 2**30
"""Bytes of a document."""


@dataclass(frozen=True)
class Read:
    """A document: its `text`, that of each page, and each line that was taken out (digits as #) with how often."""

    text: str
    title: str
    pages: tuple[str, ...]
    removed: Counter[str]


def rows(file: File) -> Iterator[Row]:
    """The one row of a document: text, title where it has one, pages, and what was taken out of it."""
    found = read(file)
    values = {"text": found.text, "pages": len(found.pages), "removed": sum(found.removed.values())}
    yield Row({**values, **({"title": found.title} if found.title else {})}, file.shown, file.name)


def read(file: File) -> Read:
    """A document's pages without what repeats on them. Raises UserError where it cannot be read or has no text."""
    kind = file.format
    if file.path.stat().st_size > LARGEST:
        raise UserError(f"{file.shown}: more than {LARGEST:,} bytes", "split the document")
    try:
        pages = KINDS[kind](file.path.read_bytes())
    except ModuleNotFoundError as e:
        hint = 'pip install "contextune[documents]"'
        raise UserError(f"{file.shown}: reading {kind.upper()} needs {e.name}, which is not installed", hint) from None
    except Unreadable as e:
        raise UserError(f"{file.shown}: {e}", e.hint) from None
    except Exception as e:  # whatever a library makes of a damaged file
        found = f"{file.shown}: not a readable {kind.upper()} file ({first_line(e) or type(e).__name__})"
        raise UserError(found, "open it where it was made and save it again") from None
    kept, removed = cleaned([p.text for p in pages])
    text = pdf.joined(kept) if kind == "pdf" else "\n\n".join(filter(None, kept))
    if not text.strip():
        hint = "recognise its text first, e.g. with ocrmypdf" if kind == "pdf" else "is it the right file?"
        where = f" on any of its {len(pages)} pages" if pages else ""
        scanned = ": it was scanned" if kind == "pdf" and pages else ""
        raise UserError(f"{file.shown}: no text{where}{scanned}", hint)
    return Read(text, pages[0].title, tuple(kept), removed)
