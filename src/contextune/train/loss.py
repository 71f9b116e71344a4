"""Cross-entropy on labelled positions only: the head sees the hidden states that predict a labelled token."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..head import head_of, only_at
from .layouts import Batch


def labelled_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Logits (n, vocabulary) of the n positions that predict a labelled token."""
    with only_at(head_of(model), batch.keep):
        logits: torch.Tensor = model(**batch.inputs, use_cache=False).logits
    return logits[0]


def nll(model: Any, batch: Batch) -> torch.Tensor:
    """Summed negative log-likelihood of a batch's targets, in nats (fp32). Divide by the update's targets."""
    return F.cross_entropy(labelled_logits(model, batch).float(), batch.targets, reduction="sum")
