"""Records that stand as they are, whatever the stage's policy: general text, replayed against forgetting."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from ..sequence import Moment, Record
from .base import Context, Drawn

NOTHING = Drawn()


def spare(context: Context, spared: Set[tuple[str, str]]) -> Context:
    """A bound policy that leaves the records of these (origin, id) alone; the policy itself where there are none."""
    if not spared:
        return context
    return SharedBut(context, spared) if hasattr(context, "shared") else But(context, spared)


@dataclass(frozen=True)
class But:
    context: Any
    spared: Set[tuple[str, str]]

    def before(self, record: Record, at: Moment) -> Drawn:
        drawn: Drawn = NOTHING if self._left(record) else self.context.before(record, at)
        return drawn

    def longest(self) -> int:
        longest: int = self.context.longest()
        return longest

    def _left(self, record: Record) -> bool:
        return (record.origin, record.id) in self.spared


class SharedBut(But):
    """Where the policy can draw once for several records: a spared one stands alone."""

    def alone(self, record: Record, at: Moment) -> bool:
        own = getattr(self.context, "alone", None)
        return self._left(record) or (own is not None and own(record, at))

    def shared(self, records: Seq[Record], at: Moment) -> Drawn:
        learned = [r for r in records if not self._left(r)]
        drawn: Drawn = self.context.shared(learned, at) if learned else NOTHING
        return drawn
