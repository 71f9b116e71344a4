"""Questions about a text with their answers (self-QA, as in New News, arXiv 2505.01812).

    "Kalo teaches Mido."  ->  "Question: Who teaches Mido?\\nAnswer:" " Kalo."     (only the answer bears loss)

In the pocket model's language the questions have fixed forms; only the answers are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import ClassVar, Literal

from pydantic import Field

from ...prompts import template as jinja
from ..base import Desk, Passage, register
from ..prompted import Ask, Local
from ..split import sentences, untitled
from ..wording import Wording


@register
class Questions(Local):
    """Question and answer pairs."""

    name: ClassVar[str] = "questions"
    reads: ClassVar[Literal["sentence", "document"]] = "document"
    operation: Literal["questions"] = "questions"
    form: Literal["pair", "whole"] = Field("pair", description="pair: only the answer bears loss; whole: all of it")

    def asks(self, passages: Seq[Passage], desk: Desk, wording: Wording) -> Iterable[Ask]:
        if not any("question" in jinja.variables(t) for t in wording.prompts):
            return super().asks(passages, desk, wording)
        return (
            Ask(p, template, {"text": p.text.strip(), "before": p.before, "question": question})
            for p in passages
            for question in forms(p.text)
            for template in wording.prompts
        )

    def texts(self, wording: Wording, ask: Ask, answer: str) -> Iterator[tuple[str, str]]:
        for prompt, text in super().texts(wording, ask, answer):
            before, after = (ask.values["question"], f" {text}") if "question" in ask.values else (prompt, text)
            yield (before, after) if self.form == "pair" else ("", before + after)


def forms(text: str) -> list[str]:
    """The questions of the pocket model's language about what a text tells, of each side of each fact."""
    from ...worlds import solve

    facts = (solve.sentence(untitled(s).removesuffix(".")) for s in sentences(text))
    return list(dict.fromkeys(fact.question(side)[0] for fact in facts if fact is not None for side in "ba"))
