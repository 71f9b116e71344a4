"""The output embeddings at chosen positions only.

Of a contextual row most positions are not trained on, and of a question only its options are scored, while the head is
the widest matrix of a small model. A hook in front of it picks the hidden states that matter, so that every
architecture keeps its own forward (logit scaling, soft caps) and no model code is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def unwrapped(model: Any) -> Any:
    """The model itself, through wrappers and adapters."""
    while hasattr(model, "module"):  # DistributedDataParallel
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model  # peft


def head_of(model: Any) -> torch.nn.Module:
    """The output embeddings, through adapters and wrappers."""
    model = unwrapped(model)
    head = model.get_output_embeddings()
    assert isinstance(head, torch.nn.Module), f"{type(model).__name__} has no output embeddings"
    return head


@contextmanager
def only_at(head: torch.nn.Module, keep: torch.Tensor) -> Iterator[None]:
    """Within: the head sees hidden states (rows, length, width) as (1, n, width), those at flat indices `keep`."""

    def select(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (args[0].flatten(0, 1)[keep].unsqueeze(0), *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
