"""KL(first ‖ now) at every token of some texts: how much of what the first model expects is lost.

    D = Σ_t Σ_v p(v | x_<t) (log p(v | x_<t) − log q(v | x_<t))        p: the first model, q: the model that is scored

Each text alone, in one pass, so that equal models give exactly 0. Of the first model the log-probabilities are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from contextune.core.asking import pair, prefix_token, window
from contextune.core.encoding import encode
from contextune.core.items import Item, Task
from contextune.core.sequence import Tokenizer
from contextune.models.likelihood import evaluating

from ..general import ROW
from . import outcomes

if TYPE_CHECKING:
    import pyarrow as pa


def log_probabilities(model: Any, tokenizer: Tokenizer, items: Seq[Item]) -> Iterator[torch.Tensor]:
    """(tokens, vocabulary) in nats, fp32, on the CPU: of each item's text after its prompt, as far as `ROW` tokens."""
    longest = min(window(model, tokenizer), ROW)
    with evaluating(model):
        for item in items:
            given, ids = (
                pair(item.prompt, item.gold, tokenizer)
                if item.prompt
                else ([prefix_token(tokenizer)], encode(item.gold, tokenizer))
            )
            given = given[-max(1, longest - len(ids)) :]
            read = [*given, *ids][:longest]
            logits = model(input_ids=torch.tensor([read], device=model.device), use_cache=False).logits[0]
            yield logits[len(given) - 1 : -1].float().log_softmax(-1).cpu()


def divergence(first: torch.Tensor, now: torch.Tensor) -> float:
    """Σ_t KL(first ‖ now) in nats. Tokens that only the later vocabulary has are nothing that the first expected."""
    return float(F.kl_div(now[:, : first.shape[1]], first, reduction="sum", log_target=True).clamp(min=0))


def table(
    first: Seq[torch.Tensor], model: Any | None, tokenizer: Tokenizer, task: Task, arm: str, seed: int
) -> pa.Table:
    """Outcomes of the task: `sums` are the divergences of each text in nats. Without a model it is the first: 0."""
    found = (
        [0.0] * len(first)
        if model is None
        else [divergence(p, q) for p, q in zip(first, log_probabilities(model, tokenizer, task.items), strict=True)]
    )
    rows = [
        {"sums": [nats], "tokens": [len(p)], "bytes": [len(item.gold.encode())]}
        for nats, p, item in zip(found, first, task.items, strict=True)
    ]
    return outcomes.table(task, rows, arm, seed)
