"""Which kernel a GPU attends over a row of spans with, by the kind of the row.

a a a │ b b b │ c c c         equal lengths, nothing shared: torch's causal kernel, over rows of a batch
a a a │ b │ c c               nothing shared: one call for variable lengths
a a a │ b b │ c │ d d d       shared beginnings: two calls, joined (varlen.py); FlexAttention where no kernel for
                              variable lengths computes rightly (fp32, other GPUs)
"""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

from .flex_attention import one_kernel
from .in_turn import one_head_each
from .spans import Span
from .varlen import over_spans
from .varlen_kernels import right_kernel

FLEX = 512
"""Tokens of a row from which FlexAttention is worth compiling; a call for each part serves shorter ones."""


def by_kind(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spans: tuple[Span, ...], scale: float | None
) -> torch.Tensor | None:
    """(1, heads, length, width), keys and values (1, key-value heads, length, width) -> as the query.

    None where no kernel serves the whole row.
    """
    if equal(spans):
        return causal_rows(query, key, value, len(spans), scale)
    kernel = right_kernel(query, key, value)
    if kernel is not None:
        return over_spans(query, key, value, spans, scale, kernel)
    return one_kernel(query, key, value, spans, scale) if query.shape[2] >= FLEX else None


def equal(spans: tuple[Span, ...]) -> bool:
    """Whether sequences share nothing and are of one length."""
    return not any(s.tails for s in spans) and len({s.shared for s in spans}) == 1


def causal_rows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: int, scale: float | None
) -> torch.Tensor:
    """The row seen as a batch of `rows` rows, each attended causally: no mask, no copy."""
    key, value = (one_head_each(x, query) for x in (key, value))
    q, k, v = (x[0].to(value.dtype).unflatten(1, (rows, -1)).transpose(0, 1) for x in (query, key, value))
    out = sdpa(q, k, v, is_causal=True, scale=scale, enable_gqa=k.shape[1] != q.shape[1])
    return out.transpose(0, 1).flatten(1, 2)[None]
