"""Questions about a text with their answers (self-QA, as in New News, arXiv 2505.01812).

    "Kalo teaches Mido."  ->  "Question: Who teaches Mido?\\nAnswer:" " Kalo."     (only the answer is trained on)

In the pocket model's language the questions have fixed forms; only the answers are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from typing import ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.prompts import templates as jinja

from ..base import Passage
from ..prompt_template import PromptTemplate
from ..prompted import Local, PromptRequest
from ..reasoner import reasoner
from ..sentence_split import sentences, untitled


@registry.operations("questions")
class Questions(Local):
    """Question and answer pairs."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    form: Literal["pair", "whole"] = Field("pair", description="pair: only the answer is trained on; whole: all of it")

    def asks(self, passages: Seq[Passage], context: BindContext, template: PromptTemplate) -> Iterable[PromptRequest]:
        if not any("question" in jinja.variables(t) for t in template.prompts):
            return super().asks(passages, context, template)
        return (
            PromptRequest(p, prompt, {"text": p.text.strip(), "before": p.before, "question": question})
            for p in passages
            for question in forms(p.text)
            for prompt in template.prompts
        )

    def texts(self, template: PromptTemplate, ask: PromptRequest, answer: str) -> Iterator[tuple[str, str]]:
        for prompt, text in super().texts(template, ask, answer):
            before, after = (ask.values["question"], f" {text}") if "question" in ask.values else (prompt, text)
            yield (before, after) if self.form == "pair" else ("", before + after)


def forms(text: str) -> list[str]:
    """The questions of the pocket model's language about what a text tells, of each side of each fact."""
    said = (untitled(s).removesuffix(".") for s in sentences(text))
    return list(dict.fromkeys(question for s in said for question in reasoner().questions(s)))
