"""What precedes a question: a text that was given, or the passages of documents that are most like it."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path

from contextune.core.errors import UserError
from contextune.data import load
from contextune.data.read_documents import documents_source
from contextune.exam import languages
from contextune.exam.passages import passages
from contextune.retrieval import Lexical
from contextune.retrieval.passages import most_similar

MOST = 50
"""Passages a question may be preceded by."""


class Library:
    """The passages of documents; `find` gives those whose words are most like a question's (BM25)."""

    def __init__(self, documents: Seq[str], k: int = 4) -> None:
        found = load(documents_source(documents), Path())
        self.passages = [p.text for p in passages((*found.documents, *found.held_out), languages.load("en"))[0]]
        self.k = k
        if not self.passages:
            raise UserError(f"{', '.join(documents)}: no prose to retrieve from", "give documents with whole sentences")

    def find(self, question: str) -> list[str]:
        """At most k passages, best first; those without a word of the question are none."""
        return most_similar(Lexical().fit([question], self.passages), self.passages, self.k)[0]


def preceded(question: str, context: str) -> str:
    """The user's turn: the context, an empty line, the question."""
    return f"{context.strip()}\n\n{question}" if context.strip() else question
