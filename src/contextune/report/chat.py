"""The page of `contextune chat`: questions, and each model's answer in a column of its own."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from . import render


def chat_html(speakers: Seq[str], token: str, context: str, library: bool) -> str:
    """One page without anything from elsewhere; `library` says that passages can be retrieved."""
    return render.page(
        "chat.html.jinja",
        scripts=("chat.js",),
        connect=True,
        title="Chat",
        speakers=speakers,
        token=token,
        context=context,
        library=library,
    )
