"""Policies made of policies: contexts one after another, or one of several for each record.

{policy: concat, policies: [{policy: prompts}, {policy: contrastive}]}        a learning prompt, then examples
{policy: mixture, policies: [none, counterfactual], weights: [0.6, 0.4]}      drawn for each record and epoch
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Tokenizer

from .policy import BoundPolicy, ContextDraw, Policy, PolicyOption, Share


class _Several(Policy):
    """What both have: their policies."""

    policies: tuple[PolicyOption, ...] = Field(description="policies with their options, in order")

    @field_validator("policies")
    @classmethod
    def _some(cls, policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
        if not policies:
            raise ValueError("name at least one policy")
        return policies

    def _most(self, tokenizer: Tokenizer) -> list[int] | None:
        """What each promises; None where one of them does not know."""
        found = [m for p in self.policies if (m := p.max_context_tokens(tokenizer)) is not None]
        return found if len(found) == len(self.policies) else None


@registry.policies("concat")
class Concat(_Several):
    """The contexts of all policies, one after another."""

    def bind(self, context: BindContext) -> BoundPolicy:
        return Joined(tuple(p.bind(context) for p in self.policies))

    def max_context_tokens(self, tokenizer: Tokenizer) -> int | None:
        found = self._most(tokenizer)
        return None if found is None else sum(found)


@dataclass(frozen=True)
class Joined(BoundPolicy):
    contexts: Seq[BoundPolicy]

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        return self._joined([c.draw(record, key) for c in self.contexts], record)

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        return self._joined([c.share(records, key) for c in self.contexts], records[0])

    def draws_alone(self, record: Record, key: DrawKey) -> bool:
        return any(c.draws_alone(record, key) for c in self.contexts)

    def shares(self) -> tuple[Share, ...]:
        return tuple(share for c in self.contexts for share in c.shares())

    @staticmethod
    def _joined(drawn: Seq[ContextDraw], record: Record) -> ContextDraw:
        replaced = [d.record for d in drawn if d.record is not None]
        if len(replaced) > 1:
            raise UserError(f"record {record.id}: two policies of concat both edit it", "let only one of them edit")
        parts = [dict(d.provenance) for d in drawn]
        segments = tuple(s for d in drawn for s in d.segments)
        rejected = next((d.rejected for d in drawn if d.rejected), ())
        found = ContextDraw(segments, {"concat": parts}, replaced[0] if replaced else None, rejected=rejected)
        choices = [i for i, d in enumerate(drawn) if d.alternatives]
        if len(choices) > 1:
            raise UserError(f"record {record.id}: two policies of concat both choose by loss", "let one of them choose")
        others = tuple(
            Joined._joined([*drawn[:i], replace(other, alternatives=()), *drawn[i + 1 :]], record)
            for i in choices
            for other in drawn[i].alternatives
        )
        return replace(found, alternatives=others)


@registry.policies("mixture")
class Mixture(_Several):
    """One of several policies, drawn for each record and epoch."""

    weights: tuple[Annotated[float, Field(ge=0, le=1_000_000)], ...] = Field(
        (), description="how often each is drawn; default: all equally often"
    )

    @model_validator(mode="after")
    def _weighed(self) -> Mixture:
        if self.weights and len(self.weights) != len(self.policies):
            raise ValueError(f"{len(self.policies)} policies, but {len(self.weights)} weights")
        if self.weights and (min(self.weights) < 0 or not sum(self.weights)):
            raise ValueError("weights are 0 or more, and not all 0")
        return self

    def bind(self, context: BindContext) -> BoundPolicy:
        return Mixed(self, tuple(p.bind(context) for p in self.policies))

    def max_context_tokens(self, tokenizer: Tokenizer) -> int | None:
        found = self._most(tokenizer)
        return None if found is None else max(found)


@dataclass(frozen=True)
class Mixed(BoundPolicy):
    policy: Mixture
    contexts: Seq[BoundPolicy]

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        places = range(len(self.contexts))
        named = [p.drawn_as for p in self.policy.policies]
        (place,) = key.rng("mixture", record.id, named).choices(places, self.policy.weights or None)
        drawn = self.contexts[place].draw(record, key)
        source: dict[str, Any] = {"mixture": self.policy.policies[place].name, **drawn.provenance}
        return replace(drawn, provenance=source)

    def shares(self) -> tuple[Share, ...]:
        weights = self.policy.weights or (1.0,) * len(self.contexts)
        parts = [w / sum(weights) for w in weights]
        return tuple(s.of(part) for part, c in zip(parts, self.contexts, strict=True) for s in c.shares() if part)
