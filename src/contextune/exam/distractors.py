"""Texts that do not answer: a passage of another document, the most similar one, and texts that hold a wrong option."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contextune.contexts.editing.spans import alone, clashing_articles, splice, spots
from contextune.retrieval.lexical import Lexical

from .corpus import Corpus, rank
from .statements import Statement
from .values import Value, values

TRIED = 50
"""Passages that are looked through for a value that a wrong option can replace."""
EXCERPT = 160
"""Characters of an excerpt, beyond the sentence that holds the option."""


@dataclass(frozen=True, slots=True)
class Distractors:
    """Texts of passages; `lured` is the wrong option that the lure holds."""

    other: str
    near: str
    lure: str
    lured: str
    excerpts: tuple[str, ...]
    """For each wrong option a text that holds it, and neither the value nor another option."""
    turned: tuple[str, ...]
    """The same for the wrong options of the anchor."""


class Finder:
    """Looks for passages that hold neither a statement's value nor the statement."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.texts = [p.text for p in corpus.passages]
        self.folded = [t.casefold() for t in self.texts]

    @cached_property
    def _space(self) -> Any:
        return Lexical().fit(self.texts, self.texts)

    def find(self, statement: Statement, wrong: Seq[str], anchor: Value, turned: Seq[str]) -> Distractors | None:
        """None where no other passage is without the value, or a wrong option stands in none and can be put in none."""
        own = self.corpus.passages[statement.passage]
        able = [i for i in range(len(self.texts)) if i != statement.passage and not _tells(self.folded[i], statement)]
        if not able:
            return None
        scores = self._space.scores([statement.passage])[0]
        ranked = sorted(able, key=lambda i: (-round(float(scores[i]), 6), i))
        lure = self._lure(ranked, statement, wrong)
        excerpts = lure and self._excerpts(ranked, statement.value, wrong)
        names = excerpts and self._excerpts(ranked, anchor, turned)
        if not lure or not excerpts or not names:
            return None
        others = [i for i in able if self.corpus.passages[i].document != own.document] or ranked[-1:]
        other = min(others, key=lambda i: rank(statement.id, self.corpus.passages[i].id))
        return Distractors(self.texts[other], self.texts[ranked[0]], *lure, excerpts, names)

    def _excerpts(self, ranked: Seq[int], asked: Value, options: Seq[str]) -> tuple[str, ...]:
        """A text for each option, of the most similar passages first; nothing where one has none."""
        found = list[str]()
        for option in options:
            barred = [asked.text.casefold(), *(o.casefold() for o in options if o != option)]
            told = self._told(ranked, option, barred) or self._put(ranked, asked, option, barred)
            if told is None or told in found:
                return ()
            found.append(told)
        return tuple(found)

    def _told(self, ranked: Seq[int], option: str, barred: Seq[str]) -> str | None:
        """What a passage says with the option: a sentence, and what follows it, without anything barred."""
        for i in ranked:
            if option not in self.texts[i]:
                continue
            sentences = self.corpus.passages[i].sentences
            for n, text in enumerate(sentences):
                if spots(text, option) and not _names(text, barred):
                    return _with_next(sentences[n:], barred)
        return None

    def _put(self, ranked: Seq[int], asked: Value, option: str, barred: Seq[str]) -> str | None:
        """A sentence with the option put for another value of its kind."""
        start = rank(option, asked.text)[0]
        near = ranked[:TRIED]
        for i in (near[(n + start) % len(near)] for n in range(len(near))):
            for text in self.corpus.passages[i].sentences:
                for value in values(text, self.corpus.lexicon, self.corpus.language):
                    made = edited(text, value.text, option) if value.kind == asked.kind else None
                    if made and not _names(made, barred):
                        return made
        return None

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


def _names(text: str, barred: Seq[str]) -> bool:
    folded = text.casefold()
    return any(b in folded for b in barred)


def _with_next(sentences: Seq[str], barred: Seq[str]) -> str:
    """A sentence and those that follow it, as long as they are short and name nothing barred."""
    taken = [sentences[0]]
    for text in sentences[1:]:
        if len(" ".join(taken)) + len(text) >= EXCERPT or _names(text, barred):
            break
        taken.append(text)
    return " ".join(taken)


def _tells(folded: str, statement: Statement) -> bool:
    return statement.value.text.casefold() in folded or statement.text.casefold() in folded
