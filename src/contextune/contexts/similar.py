"""Examples that are random, similar, or one or the other: the strategies that contrastive contexts are held against.

zero             nothing
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
from typing import ClassVar, Literal

from pydantic import Field

from .base import register
from .examples import Examples, Kind, slots
from .nothing import Empty


@register
class Zero(Empty):
    """No example: training on inputs and answers alone."""

    name: ClassVar[str] = "zero"
    policy: Literal["zero"] = "zero"


@register
class Random(Examples):
    """Random examples."""

    name: ClassVar[str] = "random"
    policy: Literal["random"] = "random"


@register
class Similar(Examples):
    """The nearest examples."""

    name: ClassVar[str] = "similar"
    warns: ClassVar[bool] = True
    policy: Literal["similar"] = "similar"

    def kinds(self, n: int, rng: random.Random) -> Seq[Kind]:
        return ["similar"] * n


@register
class BatchMix(Examples):
    """A whole context of similar examples, or of random ones."""

    name: ClassVar[str] = "batch_mix"
    warns: ClassVar[bool] = True
    policy: Literal["batch_mix"] = "batch_mix"
    share: float = Field(0.5, ge=0, le=1, description="of similar contexts")

    def kinds(self, n: int, rng: random.Random) -> Seq[Kind]:
        return ["similar" if rng.random() < self.share else "random"] * n


@register
class MixedShot(Examples):
    """Random examples, a different number of them each time."""

    name: ClassVar[str] = "mixed_shot"
    policy: Literal["mixed_shot"] = "mixed_shot"
    k: int = Field(5, ge=1, le=64, description="examples at most")
    fewest: int | None = Field(0, ge=0, description="examples at least")


@register
class Raft(Examples):
    """The nearest example among distractors, or distractors only."""

    name: ClassVar[str] = "raft"
    warns: ClassVar[bool] = True
    policy: Literal["raft"] = "raft"
    k: int = Field(5, ge=1, le=64, description="examples, the nearest counted")
    share: float = Field(0.8, ge=0, le=1, description="of contexts that hold the nearest example")

    def kinds(self, n: int, rng: random.Random) -> Seq[Kind]:
        return slots("similar" if rng.random() < self.share else "random", n)


@register
class NeighbourOnly(Examples):
    """The nearest example in every context, the rest random."""

    name: ClassVar[str] = "neighbour_only"
    first: ClassVar[Kind] = "similar"
    warns: ClassVar[bool] = True
    policy: Literal["neighbour_only"] = "neighbour_only"


@register
class SelfCopy(Examples):
    """The record itself, solved, among random examples: the control that rewards copying."""

    name: ClassVar[str] = "self_copy"
    first: ClassVar[Kind] = "self"
    policy: Literal["self_copy"] = "self_copy"
