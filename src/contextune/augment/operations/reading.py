"""Reading-comprehension tasks, found in a text by rule, behind it (AdaptLLM, arXiv 2309.09530). No model is asked.

cause         "A because B."             -> Why A? Because B.
inference     "A. Therefore, B."         -> does B follow from A?
contrast      "A. However, B."           -> what stands against A?
paraphrase    "A, that is, B."           -> what does A mean?
words         long words of the text     -> a sentence of it that holds them
completion    its last sentence          -> how does the text end?
title         a first line without stop  -> what is it about?
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey

from ..base import Inferred, Operation, Passage
from ..sentence_split import sentences

ReadingTask = tuple[str, str]
"""Question and answer."""
_BECAUSE = re.compile(r"^(?P<what>.{15,}?),? because (?!of )(?P<why>.{8,}?)\.?$", re.DOTALL)
_FOLLOWS = re.compile(
    r"^(?:Therefore|Thus|Hence|Consequently|As a result|It follows that),?\s+(?P<rest>.+)$", re.DOTALL
)
_AGAINST = re.compile(r"^(?:However|Yet|Nevertheless|On the other hand|In contrast),?\s+(?P<rest>.+)$", re.DOTALL)
_MEANS = re.compile(r"^(?P<what>.{15,}?)[,;]? (?:that is|in other words|i\.e\.),? (?P<said>.{8,}?)\.?$", re.DOTALL)
_LONG = re.compile(r"\b[a-zà-öø-þ][\w-]{7,}\b")


@registry.operations("reading")
class Reading(Operation):
    """Each document with what can be asked about it behind it; all of it is trained on."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    tasks: int = Field(6, ge=1, le=1000, description="tasks behind a text at most; which, is drawn")
    with_text: bool = Field(True, description="the text precedes its tasks; else the tasks alone")

    def infer(self, passages: Seq[Passage], context: BindContext) -> Iterator[Inferred]:
        for p in passages:
            found = mined(p.text)
            for n in range(self.samples if found else 0):
                rng = DrawKey(context.seed, n).rng("reading", p.id)
                kept = sorted(rng.sample(range(len(found)), min(self.tasks, len(found))))
                asked = [f"Question: {found[i][0]}\nAnswer: {found[i][1]}" for i in kept]
                yield Inferred("\n\n".join([p.text.strip()] * self.with_text + asked), p, self.label)


def mined(text: str) -> list[ReadingTask]:
    """Every task that the rules find, in the order of the rules."""
    title, body = _titled(text)
    found = [s.strip() for s in sentences(body)]
    rules: tuple[Callable[[list[str]], Iterator[ReadingTask]], ...] = (
        _causes,
        _follow,
        _against,
        _means,
        _words,
        _ends,
    )
    named = [("In a few words, what is the text about?", title)] if title else []
    return list(dict.fromkeys([*named, *(task for rule in rules for task in rule(found))]))


def _titled(text: str) -> tuple[str, str]:
    first, _, rest = text.strip().partition("\n")
    return (first.strip("# ").strip(), rest) if rest.strip() and not re.search(r"[.!?]\s*$", first) else ("", text)


def _causes(found: list[str]) -> Iterator[ReadingTask]:
    for s in found:
        if m := _BECAUSE.match(s):
            yield f"What reason does the text give for this: {m['what']}?", f"Because {m['why']}."


def _follow(found: list[str]) -> Iterator[ReadingTask]:
    for a, b in pairwise(found):
        if m := _FOLLOWS.match(b):
            yield f'"{a}" What follows from this, according to the text?', _upper(m["rest"])


def _against(found: list[str]) -> Iterator[ReadingTask]:
    for a, b in pairwise(found):
        if m := _AGAINST.match(b):
            yield f'"{a}" What does the text hold against this?', _upper(m["rest"])


def _means(found: list[str]) -> Iterator[ReadingTask]:
    for s in found:
        if m := _MEANS.match(s):
            yield f'What does the text mean by "{m["what"]}"?', _upper(f"{m['said']}.")


def _words(found: list[str]) -> Iterator[ReadingTask]:
    """The words are those of the sentence that has most long ones, so that few others could hold them."""
    rows = [(list(dict.fromkeys(_LONG.findall(s))), s) for s in found]
    words, sentence = max(rows, key=lambda row: len(row[0]), default=([], ""))
    if len(words) >= 3:
        shown = ", ".join(random.Random(sentence).sample(words[:3], 3))
        yield f"Which statement of the text uses these words: {shown}?", sentence


def _ends(found: list[str]) -> Iterator[ReadingTask]:
    if len(found) > 2:
        yield f'"{found[-2]}" How does the text go on?', found[-1]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
