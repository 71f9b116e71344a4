"""Which records stand in which update: a pure function of the seed, so that a resume needs no replay.

epoch 0: a permutation of all records | epoch 1: another one | …
update 0 takes the first `batch` of that stream, update 1 the next ones, and so on across epochs
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache

from contextune.core.sequence import DrawKey


@dataclass(frozen=True)
class Plan:
    """`updates` steps over `rows` records, `batch` sequences each (the last may be smaller)."""

    rows: int
    batch: int
    draws: int
    """Sequences in all: rows x epochs, or updates x batch."""
    seed: int

    @classmethod
    def of(cls, rows: int, batch: int, seed: int, epochs: float = 1.0, steps: int | None = None) -> Plan:
        draws = steps * batch if steps is not None else max(1, round(rows * epochs))
        return cls(rows, batch, draws, seed)

    @property
    def updates(self) -> int:
        return math.ceil(self.draws / self.batch)

    def times(self) -> list[int]:
        """How often each row is trained on."""
        whole, rest = divmod(self.draws, self.rows)
        found = [whole] * self.rows
        for row in order(self.seed, whole, self.rows)[:rest]:
            found[row] += 1
        return found

    def update(self, step: int) -> list[tuple[int, int]]:
        """(epoch, row) of each sequence in an update."""
        positions = range(step * self.batch, min((step + 1) * self.batch, self.draws))
        return [(p // self.rows, order(self.seed, p // self.rows, self.rows)[p % self.rows]) for p in positions]


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, rows: int) -> Seq[int]:
    """The permutation of all rows that an epoch goes through."""
    found = array("q", range(rows))
    DrawKey(seed, epoch).rng("order").shuffle(found)
    return found
