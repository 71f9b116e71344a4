"""The record's own answer, shown before it is asked: what a teacher sees who is to answer in words of its own.

    Here is an example of an answer … ⏎The capital is Paris.⏎⏎…      context, for the teacher alone
    What is the capital of France?                                    prompt
    Paris.                                                            the answer that is read

The teacher of self-distillation fine-tuning (SDFT; Shenfeld et al., arXiv 2601.19897, section 3): the model conditioned
on a demonstration of each question. Learned by likelihood it would teach to copy, so that an objective must leave the
context out for what is trained.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer

from .policy import BoundPolicy, ContextDraw, Policy

TEXT = (
    "Here is an example of an answer to what follows:\n{answer}\n\n"
    "Now give an answer of your own, in your own words.\n\n"
)


@registry.policies("demonstration")
class Demonstration(Policy):
    """The record's own answer in a frame, for the teacher of an objective that learns without the context."""

    shows_target: ClassVar[bool] = True
    text: str = Field(TEXT, description="{answer} and {prompt} stand for the record's")
    max_tokens: int = Field(512, gt=0, le=100_000, description="what is longer loses its beginning")

    @field_validator("text")
    @classmethod
    def _with_answer(cls, text: str) -> str:
        if "{answer}" not in text:
            raise ValueError("a demonstration without {answer} shows nothing; write where the record's answer stands")
        return text

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        return self.max_tokens

    def bind(self, context: BindContext) -> BoundPolicy:
        return Demonstrating(self, context.tokenizer)


@dataclass(frozen=True)
class Demonstrating(BoundPolicy):
    policy: Demonstration
    tokenizer: Tokenizer

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        asked = "".join(s.text for s in record.segments if s.role == "context").strip()
        parts = {"{answer}": record.target.strip(), "{prompt}": asked}
        text = _filled(self.policy.text, parts)
        ids = encode(text, self.tokenizer)
        if len(ids) <= self.policy.max_tokens:
            return ContextDraw((Segment(text, "context"),))
        kept = tuple(ids[-self.policy.max_tokens :])
        source = {"cut": len(ids) - len(kept)}
        return ContextDraw((Segment(str(self.tokenizer.decode(list(kept))), "context", kept),), source)


def _filled(text: str, parts: dict[str, str]) -> str:
    """Each part in its place; what stands in a record is not looked through."""
    return re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], text)
