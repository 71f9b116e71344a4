"""Nothing before the target: continued pretraining on raw text, instruction tuning on pairs."""

from __future__ import annotations

from typing import ClassVar, Literal

from ..sequence import Moment, Record
from .base import Drawn, Policy, Scene, register


class Empty(Policy):
    """What stands before no record."""

    def bind(self, scene: Scene) -> Empty:
        return self

    def before(self, record: Record, at: Moment) -> Drawn:
        return Drawn()

    def longest(self) -> int:
        return 0


@register
class Nothing(Empty):
    """No context."""

    name: ClassVar[str] = "nothing"
    policy: Literal["nothing"] = "nothing"
