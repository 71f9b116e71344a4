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

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from contextune.core import registry

from .base import Objective, OfTokens
from .reference import Reference

if TYPE_CHECKING:
    import torch


@registry.objectives("distill")
class Distill(Objective):
    """Self-distillation: the text alone is to be read as the model of the beginning reads it after its context."""

    bare: ClassVar[bool] = True
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = Field(
        "forward_kl", description="forward_kl: KL(teacher ‖ student); reverse_kl: KL(student ‖ teacher); jsd: between"
    )
    topk: int | None = Field(
        None, ge=1, le=1_000_000, description="over the student's likeliest tokens, the others as one; null: over all"
    )
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
        """(n,) divergences in nats, from logits (n, vocabulary)."""
        q, p = student.log_softmax(-1), teacher.log_softmax(-1)
        k = self.options.topk
        if k is not None and k < q.shape[-1]:
            at = q.detach().topk(k, dim=-1).indices
            q, p = (with_rest(found.gather(-1, at)) for found in (q, p))
        return divergence(self.options.divergence, p, q)

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


def divergence(name: str, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """D(p, q) in nats over the last dimension, from log-probabilities of the teacher and of the student."""
    if name == "forward_kl":
        return _kl(p, q)
    if name == "reverse_kl":
        return _kl(q, p)
    middle = p.logaddexp(q) - math.log(2)
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    import torch.nn.functional as F

    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def with_rest(some: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (…, k) and, as one more, that of all other tokens."""
    import torch

    mass = some.logsumexp(-1, keepdim=True).clamp(max=-1e-7)
    return torch.cat([some, (-mass.expm1()).log()], -1)
