"""DOCX by mammoth (headings, lists, tables through HTML), PPTX by python-pptx (a page a slide)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from .page import Page, Unreadable, unzipped
from .web import markdown

_OLE = b"\xd0\xcf\x11\xe0"
_AGAIN = "open it where it was made and save it again"


def docx(data: bytes) -> list[Page]:
    """The text as one page. Raises Unreadable for a file of the old format or one with a password."""
    _refuse(data, "DOCX", "word/document.xml")
    import mammoth

    return [Page(markdown(mammoth.convert_to_html(io.BytesIO(data)).value))]


def pptx(data: bytes) -> list[Page]:
    """Each slide's title as a heading, its texts, tables and notes."""
    _refuse(data, "PPTX", "ppt/presentation.xml")
    from pptx import Presentation

    show = Presentation(io.BytesIO(data))
    return [Page("\n\n".join(_slide(slide))) for slide in show.slides]


def _slide(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield f"# {' '.join(title.text_frame.text.split())}"
    yield from _shapes(s for s in slide.shapes if title is None or s.shape_id != title.shape_id)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None and notes.text.strip():
        yield notes.text.strip()


def _shapes(shapes: Any) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):  # a group
            yield from _shapes(shape.shapes)
        elif shape.has_text_frame:
            yield from (p.text.strip() for p in shape.text_frame.paragraphs if p.text.strip())
        elif getattr(shape, "has_table", False):
            rows = [[" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows]
            lines = [f"| {' | '.join(row)} |" for row in rows]
            yield "\n".join([*lines[:1], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _refuse(data: bytes, kind: str, part: str) -> None:
    if data.startswith(_OLE):
        old = f"of the format before {kind}, or encrypted"
        raise Unreadable(old, f"open it, remove its password and save it as .{kind.lower()}")
    with unzipped(data, kind, _AGAIN) as parts:
        if part not in parts.namelist():
            raise Unreadable(f"no {kind} file, it lacks {part}", _AGAIN)
