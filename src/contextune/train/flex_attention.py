"""Attention over a row of spans in one kernel, FlexAttention, for GPUs: a call for each span would leave them idle.

    a b c │ d e │ x y │ k l m       spans of one row
    0 0 0 │ 0 0 │ 0 0 │ 1 1 1       the span of a token
    0 0 0 │ 1 1 │ 2 2 │ 0 0 0       its tail; 0 is shared by all tails of the span

A token sees what precedes it in its span and is shared or of its own tail. Blocks of the row in which none sees
another are never computed.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers.integrations.flex_attention import compile_friendly_flex_attention

from .spans import Span


def one_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: tuple[Span, ...],
    scale: float | None,
) -> torch.Tensor:
    """(1, heads, length, width), keys and values (1, key-value heads, length, width) -> as the query."""
    query, key = query.to(value.dtype), key.to(value.dtype)  # a norm of queries and keys may leave them in fp32
    found = compile_friendly_flex_attention(
        query,
        key,
        value,
        training=query.requires_grad,
        block_mask=seen(spans, query.device),
        scale=scale,
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(found, torch.Tensor)
    return found


@lru_cache(maxsize=4)
def seen(spans: tuple[Span, ...], device: torch.device) -> BlockMask:
    """What each token of a row sees; made once for all layers."""
    parts = [(s, t, n) for s, span in enumerate(spans) for t, n in enumerate((span.shared, *span.tails))]
    sizes = torch.tensor([n for *_, n in parts])
    place, tail = (torch.tensor([p[i] for p in parts]).repeat_interleave(sizes).to(device) for i in (0, 1))

    def sees(_: torch.Tensor, __: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return (q >= k) & (place[q] == place[k]) & ((tail[k] == 0) | (tail[k] == tail[q]))

    length = len(place)
    return create_block_mask(sees, None, None, length, length, device=str(device))
