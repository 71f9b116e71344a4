"""A page of a document, the zip that some formats are, and the error of one that cannot be read."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

from ..raw import RATIO

FREE = 2**28
"""Bytes that any document may unpack to, with its pictures and fonts."""


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


def unzipped(data: bytes, kind: str, hint: str) -> zipfile.ZipFile:
    """The parts of a document. Raises Unreadable where it is no zip, with `hint`, or unpacks to far too much."""
    try:
        parts = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise Unreadable(f"no {kind} file, or a part of one", hint) from None
    if sum(info.file_size for info in parts.infolist()) > max(FREE, RATIO * len(data)):
        raise Unreadable(f"unpacks to more than {RATIO} times its size", "look at it by hand")
    return parts
