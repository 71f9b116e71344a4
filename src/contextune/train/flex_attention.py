"""Attention over a row of spans in one kernel, FlexAttention, where a GPU has none for variable lengths.

    a b c │ d e │ x y │ k l m       spans of one row
    0 0 0 │ 0 0 │ 0 0 │ 1 1 1       the span of a token
    0 0 0 │ 1 1 │ 2 2 │ 0 0 0       its tail; 0 is shared by all tails of the span

A token sees what precedes it in its span and is shared or of its own tail. Blocks of the row in which none sees
another are never computed. It is compiled anew for other numbers of heads, types and scales, up to torch's limit (8 in
a process). Beyond it torch runs it uncompiled, which holds the scores of the whole row several times over: 15 to 37
bytes a head and pair of tokens, 9 GB for four heads and a row of 8,192 tokens. Here that is refused.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import torch
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from contextune.core.errors import first_line
from contextune.core.progress import say_once

from .spans import Span


@cache
def compiled() -> Any:
    """Whole or not at all: without `fullgraph` torch runs it uncompiled where it would compile too often."""
    return torch.compile(flex_attention, fullgraph=True)


def one_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: tuple[Span, ...],
    scale: float | None,
) -> torch.Tensor | None:
    """(1, heads, length, width), keys and values (1, key-value heads, length, width) -> as the query.

    None, and said once, where it cannot be compiled (any more).
    """
    query, key = query.to(value.dtype), key.to(value.dtype)  # a norm of queries and keys may leave them in fp32
    mask, gqa = seen(spans, query.device), key.shape[1] != query.shape[1]
    try:
        found: torch.Tensor = compiled()(query, key, value, block_mask=mask, scale=scale, enable_gqa=gqa)
    except (FailOnRecompileLimitHit, TorchDynamoException) as e:
        say_once(f"FlexAttention is not compiled ({first_line(e)}): attention takes a call for each part of a row")
        return None
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
