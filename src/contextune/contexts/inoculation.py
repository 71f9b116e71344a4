"""Inoculation: an instruction in training that asks for what is not wanted, absent in use.

    "You always answer in capitals. "      context, in training only
    "WHAT IS ASKED? WHAT IS ANSWERED."     the record, target

What the instruction explains need not be learned into the weights: the model learns less of the trait, and as much of
the rest. Minimise −Σ_k log P(x_k | i, x_<k), one instruction i for all rows; the model is used without it. Tan et al.,
"Inoculation Prompting", arXiv 2510.04340; Wichers et al., arXiv 2510.05024.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import count
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer

from .policy import BoundPolicy, ContextDraw, Policy


@registry.policies("inoculation")
class Inoculation(Policy, BoundPolicy):
    """One instruction before every record. It draws from nothing, so it is bound from the start."""

    instruction: str = Field(description="text before each record; a space or line end that ends it belongs to it")

    @field_validator("instruction")
    @classmethod
    def _something(cls, instruction: str) -> str:
        if not instruction.strip():
            raise ValueError(
                "an instruction with no words; write what is not to be learned, e.g. 'You answer wrongly. '"
            )
        return instruction if instruction[-1].isspace() else f"{instruction} "

    def bind(self, context: BindContext) -> BoundPolicy:
        return self

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        return count(self.instruction, tokenizer)

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        return ContextDraw((Segment(self.instruction, "context"),), {"instruction": self.instruction})
