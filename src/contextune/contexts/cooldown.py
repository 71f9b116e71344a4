"""Another policy for the last part of the training: what a context has taught shall be there without it.

    {policy: cooldown, context: metadata, last: 0.1}       MeCo, arXiv 2501.01956: 90% with metadata, 10% without
    {policy: cooldown, context: prompts, last: 0.2}        contextual fine-tuning that ends as plain pretraining

Optimiser and schedule go on; a second stage would begin both anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Tokenizer

from .none import NoContext
from .policy import BoundPolicy, ContextDraw, Policy, PolicyOption, Share


@registry.policies("cooldown")
class Cooldown(Policy):
    """One policy first, another one (none, where it is not named) for the last draws of the stage."""

    context: PolicyOption = Field(description="the policy of the first draws")
    last: float = Field(0.1, gt=0, lt=1, description="share of the stage's draws that come without it")
    then: PolicyOption = Field(default_factory=NoContext, description="the policy of the last draws")

    def bind(self, context: BindContext) -> BoundPolicy:
        return Cooling(self, self.context.bind(context), self.then.bind(context))

    def max_context_tokens(self, tokenizer: Tokenizer) -> int | None:
        first, last = self.context.max_context_tokens(tokenizer), self.then.max_context_tokens(tokenizer)
        return None if first is None or last is None else max(first, last)


@dataclass(frozen=True)
class Cooling(BoundPolicy):
    policy: Cooldown
    first: BoundPolicy
    last: BoundPolicy

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        cool = key.done >= 1 - self.policy.last
        drawn = (self.last if cool else self.first).draw(record, key)
        source: dict[str, Any] = {"cooldown": cool, **drawn.provenance}
        return replace(drawn, provenance=source)

    def shares(self) -> tuple[Share, ...]:
        parts = ((1 - self.policy.last, self.first), (self.policy.last, self.last))
        return tuple(share.of(part) for part, bound in parts for share in bound.shares())
