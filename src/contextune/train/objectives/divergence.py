"""How far two distributions of the next token are from each other, over the vocabulary or its likeliest tokens.

With p the reference's distribution, q the model's:

    forward_kl   KL(p ‖ q) = Σ_v p (log p − log q)
    reverse_kl   KL(q ‖ p)
    jsd          ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = ½ (p + q)

`topk`: over the model's k likeliest tokens and one that stands for all others, as in TRL's `sdft`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from contextune.core.options import Options

if TYPE_CHECKING:
    import torch


class Divergence(Options):
    """Options of a divergence."""

    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = Field(
        "forward_kl", description="forward_kl: KL(teacher ‖ student); reverse_kl: KL(student ‖ teacher); jsd: between"
    )
    topk: int | None = Field(
        None, ge=1, le=1_000_000, description="over the student's likeliest tokens, the others as one; null: over all"
    )

    def between(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """(n,) divergences in nats, from logits (n, vocabulary)."""
        q, p = student.log_softmax(-1), teacher.log_softmax(-1)
        if self.topk is not None and self.topk < q.shape[-1]:
            at = q.detach().topk(self.topk, dim=-1).indices
            q, p = (with_rest(found.gather(-1, at)) for found in (q, p))
        return divergence(self.divergence, p, q)


def divergence(name: str, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """D(p, q) in nats over the last dimension, from log-probabilities of the teacher and of the student."""
    if name == "forward_kl":
        return kl(p, q)
    if name == "reverse_kl":
        return kl(q, p)
    middle = p.logaddexp(q) - math.log(2)
    return (kl(p, middle) + kl(q, middle)) / 2


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) in nats over the last dimension, from log-probabilities."""
    import torch.nn.functional as F

    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def with_rest(some: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (…, k) and, as one more, that of all other tokens."""
    import torch

    mass = some.logsumexp(-1, keepdim=True).clamp(max=-1e-7)
    return torch.cat([some, (-mass.expm1()).log()], -1)
