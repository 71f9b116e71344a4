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
from typing import Protocol, runtime_checkable

from ..contexts import Context
from ..contexts.base import Drawn
from ..errors import UserError
from ..sequence import Moment, Record
from .plan import order


@runtime_checkable
class Shareable(Protocol):
    """A bound policy that can draw once for several records."""

    def shared(self, records: Seq[Record], at: Moment) -> Drawn:
        """One context that may stand before each of `records`, distributed for each of them as `before` has it.

        Raises UserError where the policy's options do not allow it. A policy some of whose contexts belong to one
        record has a method `alone(record, at)` too, true of those; they are drawn by `before`, and for the others
        `shared` has the distribution of `before` given that.
        """
        ...


def grouped(context: Context, records: Seq[Record], share: int) -> Context:
    """The context drawn once for `share` records at a time; itself where `share` is 1. Raises UserError."""
    if share == 1 or isinstance(context, Grouped):
        return context
    if not isinstance(context, Shareable):
        raise UserError(
            f"train.share is {share}, but this context policy draws for one record at a time", "leave train.share out"
        )
    context.shared(records[:share], Moment(0, 0))  # refused before the first step
    return Grouped(context, tuple(records), share)


@dataclass(frozen=True)
class Grouped:
    context: Shareable
    records: tuple[Record, ...]
    share: int

    def before(self, record: Record, at: Moment) -> Drawn:
        alone = getattr(self.context, "alone", None)
        if alone is not None and alone(record, at):
            drawn: Drawn = self.context.before(record, at)  # type: ignore[attr-defined]
            return drawn
        members = [r for r in self.group(record, at) if alone is None or not alone(r, at)]
        key = at, members[0].origin, members[0].id
        if key not in self._kept:
            if len(self._kept) >= 256:
                self._kept.clear()
            self._kept[key] = self.context.shared(members, at)
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[tuple[Moment, str, str], Drawn]:
        """Draws of groups by their first member, kept for the other ones."""
        return {}

    def longest(self) -> int:
        longest: int = self.context.longest()  # type: ignore[attr-defined]
        return longest

    def group(self, record: Record, at: Moment) -> list[Record]:
        """Who shares a draw with a record at a moment, itself among them: a run of the epoch's order."""
        place = _places(at.seed, at.epoch, len(self.records))[self._rows[record.origin, record.id]]
        begin = place - place % self.share
        return [self.records[i] for i in order(at.seed, at.epoch, len(self.records))[begin : begin + self.share]]

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
