"""Contrastive contexts (arXiv 2604.01601): similar and random examples in one context, grades across them.

Slot one is a paraphrase H, the most similar example M or a random one R; the other k - 1 are random, the order is
shuffled, all is drawn anew each epoch. The paper leaves open how its epsilon and p go together:

    reading A   H with probability eps; else M with p; else R      (eps, (1 - eps) p, (1 - eps)(1 - p))
    reading B   similar with probability p, and then H with eps    (p eps, p (1 - eps), 1 - p)
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from typing import Any, ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.retrieval import Pool

from .examples import SlotKind, slots
from .paraphrases import Paraphraser, paraphraser
from .with_editor import WithEditor


class WithParaphrases(WithEditor):
    """Options of policies that show paraphrases."""

    paraphrases: str | dict[str, Any] = Field(
        "auto",
        description="who makes them: grammar (edits), model (the writer answers a changed input), {source: NAME} whose "
        "rows name theirs in `source`, an augment operation (rephrase), or none; auto: the grammar where it can",
    )
    answers: Literal["auto", "same", "edited"] = Field(
        "auto",
        description="of a paraphrase: same, or edited with one slot of its input; auto: edited where it can be done",
    )

    def sources(self) -> tuple[str, ...]:
        named = (
            [str(self.paraphrases["source"])]
            if isinstance(self.paraphrases, dict) and "source" in self.paraphrases
            else []
        )
        return (*super().sources(), *named)

    def paraphraser(self, context: BindContext, pool: Pool) -> Paraphraser | None:
        rows = [r for r in context.records if self.is_target(r)]
        return paraphraser(self.paraphrases, self.answers, rows, pool, context, self.database_path)

    def wanted(self) -> dict[SlotKind, float]:
        """With `paraphrases: none` the nearest example is wanted in their place."""
        return _without(super().wanted()) if self.paraphrases == "none" else super().wanted()


def _without(wanted: dict[SlotKind, float]) -> dict[SlotKind, float]:
    """Similar examples for paraphrases."""
    similar = wanted.get("similar", 0.0) + wanted.get("paraphrase", 0.0)
    return {**{k: p for k, p in wanted.items() if k != "paraphrase"}, "similar": similar}


@registry.policies("contrastive")
class Contrastive(WithParaphrases):
    """One slot that is a paraphrase, the nearest example or a random one; the rest random."""

    warns: ClassVar[bool] = True
    eps: float = Field(0.1, ge=0, le=1, description="probability of a paraphrase")
    p: float = Field(0.5, ge=0, le=1, description="probability of the nearest example")
    reading: Literal["A", "B"] = Field("A", description="how eps and p go together")

    @property
    def probabilities(self) -> dict[SlotKind, float]:
        """Of slot one, by kind."""
        if self.reading == "A":
            h, m = self.eps, (1 - self.eps) * self.p
        else:
            h, m = self.p * self.eps, self.p * (1 - self.eps)
        return {"paraphrase": h, "similar": m, "random": 1 - h - m}

    def wanted(self) -> dict[SlotKind, float]:
        return _without(self.probabilities) if self.paraphrases == "none" else self.probabilities

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        chances = self.probabilities
        (first,) = rng.choices(list(chances), list(chances.values()))
        return slots(first, n)

    def paraphraser(self, context: BindContext, pool: Pool) -> Paraphraser | None:
        return super().paraphraser(context, pool) if self.probabilities["paraphrase"] else None


@registry.policies("paraphrase_only")
class ParaphraseOnly(WithParaphrases):
    """A paraphrase in every context, the rest random."""

    first: ClassVar[SlotKind] = "paraphrase"
