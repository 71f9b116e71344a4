"""No context: continued pretraining on raw text, instruction tuning on pairs."""

from __future__ import annotations

from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Tokenizer

from .policy import BoundPolicy, ContextDraw, Policy


@registry.policies("none")
class NoContext(Policy, BoundPolicy):
    """No context: the record alone. It draws from nothing, so it is bound from the start."""

    draws_as: ClassVar[str] = "nothing"

    def bind(self, context: BindContext) -> BoundPolicy:
        return self

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        return 0

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        return ContextDraw()
