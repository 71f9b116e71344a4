"""Passages that do not answer: of another document, the most similar one, and one that holds a wrong option."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contextune.contexts.editing.spans import alone, clashing_articles, splice, spots
from contextune.retrieval.lexical import Lexical

from .corpus import Corpus, rank
from .statements import Statement
from .values import values

TRIED = 50
"""Passages that are looked through for a value that a wrong option can replace."""


@dataclass(frozen=True, slots=True)
class Distractors:
    """Texts of passages; `lured` is the wrong option that the lure holds."""

    other: str
    near: str
    lure: str
    lured: str


class Finder:
    """Looks for passages that hold neither a statement's value nor the statement."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.texts = [p.text for p in corpus.passages]
        self.folded = [t.casefold() for t in self.texts]

    @cached_property
    def _space(self) -> Any:
        return Lexical().fit(self.texts, self.texts)

    def find(self, statement: Statement, wrong: Seq[str]) -> Distractors | None:
        """None where no other passage is without the value, or none holds a wrong option or something to put it for."""
        own = self.corpus.passages[statement.passage]
        able = [i for i in range(len(self.texts)) if i != statement.passage and not _tells(self.folded[i], statement)]
        if not able:
            return None
        scores = self._space.scores([statement.passage])[0]
        ranked = sorted(able, key=lambda i: (-round(float(scores[i]), 6), i))
        lure = self._lure(ranked, statement, wrong)
        if lure is None:
            return None
        others = [i for i in able if self.corpus.passages[i].document != own.document] or ranked[-1:]
        other = min(others, key=lambda i: rank(statement.id, self.corpus.passages[i].id))
        return Distractors(self.texts[other], self.texts[ranked[0]], *lure)

    def _lure(self, ranked: Seq[int], statement: Statement, wrong: Seq[str]) -> tuple[str, str] | None:
        """The most similar passage that holds a wrong option; else one with an option put for a value of its kind."""
        for i in ranked:
            if there := next((o for o in wrong if o in self.texts[i] and spots(self.texts[i], o)), None):
                return self.texts[i], there
        for i in ranked[:TRIED]:
            for text in self.corpus.passages[i].sentences:
                for value in values(text, self.corpus.lexicon, self.corpus.language):
                    if value.kind == statement.value.kind and (made := edited(self.texts[i], value.text, wrong[0])):
                        return made, wrong[0]
        return None


def edited(text: str, old: str, new: str) -> str | None:
    """The text with a value replaced wherever it stands; None where a trace of it, or a wrong article, would stay."""
    at = spots(text, old)
    if not at or not alone(text, at, old) or new.casefold() in text.casefold():
        return None
    made = splice(text, at, old, new)
    return made if clashing_articles(made) == clashing_articles(text) else None


def _tells(folded: str, statement: Statement) -> bool:
    return statement.value.text.casefold() in folded or statement.text.casefold() in folded
