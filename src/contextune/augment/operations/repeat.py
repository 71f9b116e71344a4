"""The originals once more: the control for what repetition alone does. No model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from typing import ClassVar, Literal

from ..base import Desk, Made, Operation, Passage, register


@register
class Repeat(Operation):
    """Each passage as it is, `samples` times."""

    name: ClassVar[str] = "repeat"
    operation: Literal["repeat"] = "repeat"

    def infer(self, passages: Seq[Passage], desk: Desk) -> Iterator[Made]:
        yield from (Made(p.text, p, self.label) for p in passages for _ in range(self.samples))
