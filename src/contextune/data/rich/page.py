"""A page of a document, and the error of one that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """`text` in lines, an empty one between paragraphs; `title` is the document's, and the first page's alone."""

    text: str
    title: str = ""


class Unreadable(Exception):
    """Why a document has no text for us, and what its owner can do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint
