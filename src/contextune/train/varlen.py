"""Attention over a row of spans by kernels for variable lengths: no mask, nothing computed that nobody sees.

    a b c │ d e │ x y │ k l m     spans of one row: a b c with the tails d e and x y, and k l m by itself
    ─────   ───   ───   ─────     1  every part by itself, causally: one call for the row
    d e x y  over  a b c          2  all tails of a span over what they share, without a mask: one call for the row

The softmax of a tail's token is over both calls' keys. With the log-sum-exps l1 and l2 of its scores in each call and
l = log(exp l1 + exp l2) its output is exp(l1 - l) o1 + exp(l2 - l) o2 (online softmax; Milakov and Gimelshein 2018).
For the gradients a kernel computes p = exp(s - l) and ds = p (dp - sum(do o)) from l and o as they are given: given
those of the whole softmax, each call returns its share of the whole gradient (as in Ring Attention, Liu et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor

from .spans import Span


@dataclass(frozen=True)
class Cuts:
    """Where sequences of one packed row begin and end: (n + 1,) int32, and the length of the longest."""

    at: Tensor
    longest: int

    @classmethod
    def of(cls, sizes: Seq[int], device: torch.device) -> Cuts:
        return cls(torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=device), max(sizes))


class Kernel(Protocol):
    """Attention of packed sequences: queries (tokens, heads, width), keys and values (tokens, key-value heads, width).

    Query sequence i sees key sequence i, whole or causally. `lse` (heads, tokens) are log-sum-exps, fp32.
    """

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, queries: Cuts, keys: Cuts, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Outputs, shaped as the queries, and `lse`."""
        ...

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, queries: Cuts, keys: Cuts,
        causal: bool, scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Gradients at queries, keys and values, from `out` and `lse` as they are given."""
        ...


@dataclass(frozen=True)
class Parts:
    """A row's parts; of the tails and of what they share, where they stand in the row (n,), or None without tails."""

    each: Cuts
    tail: Tensor | None = None
    head: Tensor | None = None
    tails: Cuts | None = None
    heads: Cuts | None = None


@lru_cache(maxsize=8)
def parts_of(spans: tuple[Span, ...], device: torch.device) -> Parts:
    """Made once for all layers."""
    each = Cuts.of([n for s in spans for n in (s.shared, *s.tails)], device)
    if not any(s.tails for s in spans):
        return Parts(each)
    head: list[int] = []
    tail: list[int] = []
    begin = 0
    for span in spans:
        if span.tails:
            head += range(begin, begin + span.shared)
            tail += range(begin + span.shared, begin + len(span))
        begin += len(span)
    sharing = [s for s in spans if s.tails]
    tails, heads = Cuts.of([sum(s.tails) for s in sharing], device), Cuts.of([s.shared for s in sharing], device)
    return Parts(each, torch.tensor(tail, device=device), torch.tensor(head, device=device), tails, heads)


def over_spans(
    query: Tensor, key: Tensor, value: Tensor, spans: tuple[Span, ...], scale: float | None, kernel: Kernel
) -> Tensor:
    """(1, heads, length, width), keys and values (1, key-value heads, length, width) -> as the query."""
    q, k, v = (x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    out: Tensor = _OverSpans.apply(q, k, v, parts_of(spans, query.device), kernel, scale)
    return out.transpose(0, 1)[None]


class _OverSpans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, parts: Parts, kernel: Kernel, scale: float) -> Tensor:
        out, lse = kernel.forward(q, k, v, parts.each, parts.each, True, scale)
        if parts.tail is not None and parts.head is not None and parts.tails is not None and parts.heads is not None:
            tail, head = parts.tail, parts.head
            shared, other = kernel.forward(q[tail], k[head], v[head], parts.tails, parts.heads, False, scale)
            whole = torch.logaddexp(lse[:, tail], other)
            weights = ((x - whole).exp().T[..., None] for x in (lse[:, tail], other))
            joined = sum(w * o.float() for w, o in zip(weights, (out[tail], shared), strict=True))
            assert isinstance(joined, Tensor)
            out = out.index_copy(0, tail, joined.to(out.dtype))
            lse = lse.index_copy(1, tail, whole)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.how = parts, kernel, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        parts, kernel, scale = ctx.how
        grad = grads[0].contiguous()
        dq, dk, dv = kernel.backward(grad, q, k, v, out, lse, parts.each, parts.each, True, scale)
        if parts.tail is not None:
            tail, head = parts.tail, parts.head
            of_tail = [x[tail] for x in (grad, q, out)]
            shared = kernel.backward(
                of_tail[0], of_tail[1], k[head], v[head], of_tail[2], lse[:, tail].contiguous(), parts.tails,
                parts.heads, False, scale,
            )  # fmt: skip
            for total, place, more in zip((dq, dk, dv), (tail, head, head), shared, strict=True):
                total.index_add_(0, place, more)
        return dq, dk, dv, None, None, None
