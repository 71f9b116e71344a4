"""Examples that are random, similar, or one or the other: the strategies that contrastive contexts are held against.

random           k random examples
similar          the k nearest
batch_mix        all similar or all random, by a coin
mixed_shot       none to k random examples (Alves et al. 2023, arXiv 2310.13448)
raft             with probability P the nearest among distractors, else distractors only (arXiv 2403.10131)
neighbour_only   the nearest, the rest random
self_copy        the record itself with its answer, the rest random
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from typing import ClassVar

from pydantic import Field

from contextune.core import registry

from .examples import Examples, SlotKind, slots


@registry.policies("random")
class Random(Examples):
    """Random examples."""


@registry.policies("similar")
class Similar(Examples):
    """The nearest examples."""

    warns: ClassVar[bool] = True

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        return ["similar"] * n

    def wanted(self) -> dict[SlotKind, float]:
        return {"similar": 1.0}


@registry.policies("batch_mix")
class BatchMix(Examples):
    """A whole context of similar examples, or of random ones."""

    warns: ClassVar[bool] = True
    share: float = Field(0.5, ge=0, le=1, description="of similar contexts")

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        return ["similar" if rng.random() < self.share else "random"] * n

    def wanted(self) -> dict[SlotKind, float]:
        return {"similar": self.share, "random": 1 - self.share}


@registry.policies("mixed_shot")
class MixedShot(Examples):
    """Random examples, a different number of them each time."""

    k: int = Field(5, ge=1, le=64, description="examples at most")
    min_k: int | None = Field(0, ge=0, le=64, description="examples at least")


@registry.policies("raft")
class Raft(Examples):
    """The nearest example among distractors, or distractors only."""

    warns: ClassVar[bool] = True
    k: int = Field(5, ge=1, le=64, description="examples, the nearest counted")
    share: float = Field(0.8, ge=0, le=1, description="of contexts that hold the nearest example")

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        return slots("similar" if rng.random() < self.share else "random", n)

    def wanted(self) -> dict[SlotKind, float]:
        return {"similar": self.share, "random": 1 - self.share}


@registry.policies("neighbour_only")
class NeighbourOnly(Examples):
    """The nearest example in every context, the rest random."""

    first: ClassVar[SlotKind] = "similar"
    warns: ClassVar[bool] = True


@registry.policies("self_copy")
class SelfCopy(Examples):
    """The record itself, solved, among random examples: the control that rewards copying."""

    first: ClassVar[SlotKind] = "self"
