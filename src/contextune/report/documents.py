"""The page of `contextune data`: each document's text, what was taken out of it, and what it says again."""

from __future__ import annotations

from typing import Any

from . import render

LONGEST = 200_000
"""Characters of a document that its page shows."""


def documents_html(found: Any) -> str:
    """The self-contained page of what was read (`DocumentTexts`)."""
    return render.page("documents.html.jinja", title="Documents", counts=found.counts(), documents=list(_shown(found)))


def _shown(found: Any) -> Any:
    for d, one in enumerate(found.documents):
        again = {i: found.repeats[d, i] for i in range(len(one.paragraphs)) if (d, i) in found.repeats}
        yield {
            "shown": one.shown,
            "title": one.title,
            "format": one.format,
            "words": one.words,
            "pages": None if one.pages is None else len(one.pages),
            "removed": one.removed.most_common(20),
            "again": [
                {
                    "text": one.paragraphs[i][:400],
                    "where": found.documents[j].shown,
                    "earlier": found.documents[j].paragraphs[k][:400],
                }
                for i, (j, k) in list(again.items())[:50]
            ],
            "repeated": len(again),
            "parts": list(_parts(one)),
            "cut": max(0, len(one.text) - LONGEST),
        }


def _parts(one: Any) -> Any:
    """(number, text) of each page, at most LONGEST characters in all."""
    left = LONGEST
    for number, text in enumerate(one.pages if one.pages is not None else (one.text,), 1):
        if left <= 0:
            return
        yield number, text[:left]
        left -= len(text)
