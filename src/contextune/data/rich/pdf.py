"""PDF by pypdfium2 (Chrome's PDFium): the lines of each page in reading order, and paragraphs made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq
from statistics import median

from .page import Page, Unreadable

_HYPHEN = re.compile(r"(?<=[a-zß-ÿ])[-\u00ad\u2010\ufffe\x02]\n(?=[a-zß-ÿ])")
_ENDS = re.compile(r"[.!?:;…”\"')\]]$")


def pages(data: bytes) -> list[Page]:
    """Raises Unreadable for a PDF that is locked or no PDF."""
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as e:
        if "password" in str(e).lower():
            raise Unreadable("encrypted, and needs a password to be opened", "save it without a password") from None
        raise
    try:
        title = str(document.get_metadata_dict().get("Title") or "").strip()
        texts = []
        for page in document:
            part = page.get_textpage()
            texts.append(part.get_text_range().replace("\r\n", "\n").replace("\r", "\n"))
            part.close()
            page.close()
        return [Page(text, title if i == 0 else "") for i, text in enumerate(texts)]
    finally:
        document.close()


def paragraphs(text: str) -> str:
    """Lines that run on are joined, words divided at a line's end made whole.

    A line ends a paragraph where it ends a sentence and is clearly shorter than the page's lines are, or where the next
    one is blank; headings, which end no sentence and are short, stand alone.
    """
    lines = [line.strip() for line in _HYPHEN.sub("", text).split("\n")]
    full = median(len(line) for line in lines if line) if any(lines) else 0
    made, open_ = list[str](), ""
    for line in lines:
        if not line:
            made, open_ = [*made, open_], ""
            continue
        open_ = f"{open_} {line}" if open_ else line
        if len(line) < 0.75 * full and (_ENDS.search(line) or open_ == line):
            made, open_ = [*made, open_], ""
    return "\n\n".join(filter(None, [*made, open_]))


def joined(pages: Seq[str]) -> str:
    """The paragraphs of all pages; one that a page's end cuts is made whole."""
    text = ""
    for page in filter(None, map(paragraphs, pages)):
        runs_on = text and not _ENDS.search(text) and page[0].islower()
        divided = runs_on and re.search(r"[a-zß-ÿ][-\u00ad\u2010]$", text)
        text = text[:-1] + page if divided else text + (" " if runs_on else "\n\n" if text else "") + page
    return text
