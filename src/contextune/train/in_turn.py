"""Attention over a row of spans by torch's own kernels alone, a call for each part of a span."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.functional import scaled_dot_product_attention as sdpa

from .spans import Span


def in_turn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: tuple[Span, ...],
    scale: float | None,
    dropout: float,
) -> torch.Tensor:
    """(1, heads, length, width), keys and values (1, key-value heads, length, width) -> as the query.

    On CPUs the quickest, since nothing is computed that nobody sees.
    """
    key, value = (one_head_each(x, query) for x in (key, value))
    options: dict[str, Any] = {"scale": scale, "dropout_p": dropout, "enable_gqa": key.shape[1] != query.shape[1]}
    sizes = [n for s in spans for n in (s.shared, *s.tails)]
    q, k, v = (iter(x.split(sizes, dim=2)) for x in (query, key, value))
    causal = _causal.__wrapped__ if isinstance(query, FakeTensor) else _causal  # what is kept has numbers
    out = []
    for span in spans:
        shared_k, shared_v = next(k), next(v)
        out.append(sdpa(next(q), shared_k, shared_v, is_causal=True, **options))
        for tail in span.tails:
            keys, values = torch.cat([shared_k, next(k)], 2), torch.cat([shared_v, next(v)], 2)
            mask = causal(tail, span.shared, query.device)
            out.append(sdpa(next(q), keys, values, attn_mask=mask, **options))
    return torch.cat(out, 2)


def one_head_each(keys: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Keys or values with as many heads as the queries, where a GPU's kernels would else hold all scores: in fp32."""
    if query.device.type != "cuda" or query.dtype != torch.float32:
        return keys
    return keys.repeat_interleave(query.shape[1] // keys.shape[1], 1)


@lru_cache(maxsize=64)
def _causal(tail: int, shared: int, device: torch.device) -> torch.Tensor:
    """(tail, shared + tail): all that is shared, and the tail up to the token itself."""
    return torch.ones(tail, shared + tail, dtype=torch.bool, device=device).tril(shared)
