"""Records that keep no context, whatever the stage's policy: general text, replayed against forgetting."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from collections.abc import Set
from dataclasses import dataclass

from contextune.core.sequence import DrawKey, Record

from .policy import BoundPolicy, ContextDraw

NONE = ContextDraw(replayed=True)


def replay_without_context(context: BoundPolicy, replayed: Set[tuple[str, str]]) -> BoundPolicy:
    """A bound policy that leaves the records of these (origin, id) alone; the policy itself where there are none."""
    return WithoutContext(context, replayed) if replayed else context


@dataclass(frozen=True)
class WithoutContext(BoundPolicy):
    context: BoundPolicy
    replayed: Set[tuple[str, str]]

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        return NONE if self._replayed(record) else self.context.draw(record, key)

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        learned = [r for r in records if not self._replayed(r)]
        return self.context.share(learned, key) if learned else NONE

    def draws_alone(self, record: Record, key: DrawKey) -> bool:
        return self._replayed(record) or self.context.draws_alone(record, key)

    def _replayed(self, record: Record) -> bool:
        return (record.origin, record.id) in self.replayed
