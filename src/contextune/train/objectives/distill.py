"""Self-distillation: the model learns to answer from the text alone as it answers with the context before it.

Context distillation (Askell et al. 2021, arXiv 2112.00861, section 2.2), on given texts; its teacher and divergence are
those of self-distillation fine-tuning (Shenfeld et al. 2026, arXiv 2601.19897). With c the context that the policy
draws, y the text, x what else precedes y in both, and for each of the update's target tokens y_t

    p_t = P_φ(· | c, x, y_<t)        the teacher; φ: the weights of the stage's beginning, or an average that follows
    q_t = P_θ(· | x, y_<t)           the student
    L = mean over t of D(p_t, q_t)
    forward_kl   KL(p ‖ q) = Σ_v p (log p − log q)
    reverse_kl   KL(q ‖ p)
    jsd          ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = ½ (p + q)
    ema = α      φ ← φ + α (θ − φ)  after each update

`topk`: over the student's k likeliest tokens and one that stands for all others, as in TRL's `sdft`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contextune.core import registry

from .base import Objective, OfTokens
from .divergence import Divergence
from .reference import Reference

if TYPE_CHECKING:
    import torch


@registry.objectives("distill")
class Distill(Divergence, Objective):
    """Self-distillation: the text alone is to be read as the model of the beginning reads it after its context."""

    bare: ClassVar[bool] = True
    ema: float = Field(
        0.0, ge=0, le=1, description="how far the teacher's weights follow the student's at each update; 0: not at all"
    )

    def bind(self, model: Any) -> OfTokens:
        return BoundDistill(self, model)


class BoundDistill(OfTokens):
    name = "distill"

    def __init__(self, options: Distill, model: Any) -> None:
        self.options, self.teacher = options, Reference(model)

    def loss(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return self.options.between(student, teacher)

    def reference(self, model: Any) -> AbstractContextManager[None]:
        return self.teacher.in_place(model)

    def begin(self, model: Any) -> None:
        if self.options.ema:
            self.teacher.follow(model, self.options.ema)

    def save(self, folder: Path) -> None:
        if self.options.ema:
            self.teacher.save(folder)

    def load(self, folder: Path) -> None:
        if self.options.ema:
            self.teacher.load(folder)
