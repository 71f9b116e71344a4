"""Records of an update that stand after one draw of the context, so that there is something to compute once.

    order of epoch 0     r7 r2 │ r5 r0 │ r3 r1 …        share: 2
    context              c(r7) │ c(r5) │ c(r3) …        drawn for the group, not for each record

What stays: who stands with whom is the epoch's own random order, so each record alone meets every context as often as
without sharing, anew in each epoch, and a draw is a pure function of (seed, epoch, record). What does not: records of
one group are not independent of each other, so an update sees fewer different contexts.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property, lru_cache

from contextune.contexts import BoundPolicy, ContextDraw
from contextune.core.sequence import DrawKey, Record

from .schedule import order


def grouped(context: BoundPolicy, records: Seq[Record], share: int) -> BoundPolicy:
    """The context drawn once for `share` records at a time; itself where `share` is 1.

    Raises UserError, before the first step, where the policy draws for one record at a time.
    """
    if share == 1 or isinstance(context, Grouped):
        return context
    context.share(records[:share], DrawKey(0, 0))
    return Grouped(context, records, share)


@dataclass(frozen=True)
class Grouped(BoundPolicy):
    context: BoundPolicy
    records: Seq[Record]
    group_size: int

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        if self.context.draws_alone(record, key):
            return self.context.draw(record, key)
        members = [r for r in self.group(record, key) if not self.context.draws_alone(r, key)]
        name = key, members[0].origin, members[0].id
        if name not in self._kept:
            if len(self._kept) >= 256:
                self._kept.clear()
            self._kept[name] = self.context.share(members, key)
        return self._kept[name]

    @cached_property
    def _kept(self) -> dict[tuple[DrawKey, str, str], ContextDraw]:
        """Draws of groups by their first member, kept for the other ones."""
        return {}

    def group(self, record: Record, key: DrawKey) -> list[Record]:
        """Who shares a draw with a record, itself among them: a run of the epoch's order."""
        place = _places(key.seed, key.epoch, len(self.records))[self._rows[record.origin, record.id]]
        begin = place - place % self.group_size
        return [self.records[i] for i in order(key.seed, key.epoch, len(self.records))[begin : begin + self.group_size]]

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        return {(r.origin, r.id): i for i, r in enumerate(self.records)}


@lru_cache(maxsize=4)
def _places(seed: int, epoch: int, rows: int) -> list[int]:
    """Where each row stands in the epoch's order."""
    places = [0] * rows
    for place, row in enumerate(order(seed, epoch, rows)):
        places[row] = place
    return places
