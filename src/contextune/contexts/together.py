"""Policies made of policies: contexts one after another, or one of several for each row.

{policy: together, policies: [{policy: prompts}, {policy: contrastive}]}      a learning prompt, then examples
{policy: mixture, policies: [nothing, edited], weights: [0.6, 0.4]}           drawn for each row and epoch
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ..errors import UserError
from ..sequence import Moment, Record
from .base import Context, Drawn, Inner, Policy, Scene, register


class _Several(Policy):
    """What both have: their policies."""

    policies: tuple[Inner, ...] = Field(description="policies with their options, in order")

    @field_validator("policies")
    @classmethod
    def _some(cls, policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
        if not policies:
            raise ValueError("name at least one policy")
        return policies

    def content(self, folder: Path | None) -> object:
        found = [p.content(folder) for p in self.policies]
        return found if any(c is not None for c in found) else None

    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for p in self.policies for n in p.sources()))

    def trains(self, record: Record) -> bool:
        return all(p.trains(record) for p in self.policies)


@register
class Together(_Several):
    """The contexts of all, one after another."""

    name: ClassVar[str] = "together"
    policy: Literal["together"] = "together"

    def bind(self, scene: Scene) -> Joined:
        return Joined(tuple(p.bind(scene) for p in self.policies))


@dataclass(frozen=True)
class Joined:
    contexts: Seq[Context]

    def before(self, record: Record, at: Moment) -> Drawn:
        drawn = [c.before(record, at) for c in self.contexts]
        replaced = [d.record for d in drawn if d.record is not None]
        if len(replaced) > 1:
            raise UserError(
                f"record {record.id}: two policies that stand together both edit it", "let only one of them be edited"
            )
        parts = [dict(d.provenance) for d in drawn]
        return Drawn(
            tuple(s for d in drawn for s in d.segments), {"together": parts}, replaced[0] if replaced else None
        )

    def longest(self) -> int:
        return sum(c.longest() for c in self.contexts)


@register
class Mixture(_Several):
    """One of several, drawn for each row and epoch."""

    name: ClassVar[str] = "mixture"
    policy: Literal["mixture"] = "mixture"
    weights: tuple[float, ...] = Field((), description="how often each is drawn; default: all alike")

    @model_validator(mode="after")
    def _weighed(self) -> Mixture:
        if self.weights and len(self.weights) != len(self.policies):
            raise ValueError(f"{len(self.policies)} policies, but {len(self.weights)} weights")
        if self.weights and (min(self.weights) < 0 or not sum(self.weights)):
            raise ValueError("weights are 0 or more, and not all 0")
        return self

    def bind(self, scene: Scene) -> Mixed:
        return Mixed(self, tuple(p.bind(scene) for p in self.policies))


@dataclass(frozen=True)
class Mixed:
    policy: Mixture
    contexts: Seq[Context]

    def before(self, record: Record, at: Moment) -> Drawn:
        places = range(len(self.contexts))
        key = [p.policy for p in self.policy.policies]
        (place,) = at.rng("mixture", record.id, key).choices(places, self.policy.weights or None)
        drawn = self.contexts[place].before(record, at)
        source: dict[str, Any] = {"mixture": self.policy.policies[place].policy, **drawn.provenance}
        return Drawn(drawn.segments, source, drawn.record)

    def longest(self) -> int:
        return max(c.longest() for c in self.contexts)
