"""The originals once more: the control for what repetition alone does. No model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred, Operation, Passage


@registry.operations("repeat")
class Repeat(Operation):
    """Each passage as it is, `samples` times."""

    def infer(self, passages: Seq[Passage], context: BindContext) -> Iterator[Inferred]:
        yield from (Inferred(p.text, p, self.label) for p in passages for _ in range(self.samples))
