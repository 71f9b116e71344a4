"""Kernels for attention of variable lengths that a machine has, and which of them computes rightly here.

Their interfaces move from release to release, so none is trusted: a kernel is tried once for each shape of head and
type of number on a few tokens, forward and backward, and taken where it gives what torch's plain attention gives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from contextune.core.errors import first_line
from contextune.core.memory import exhausted

from .in_turn import in_turn
from .spans import Span
from .varlen import Cuts, Kernel, over_spans

NEAR = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""How far a kernel may be from fp32, relative: the rounding of its type."""
TRIAL = (Span(70, (2, 65, 1)), Span(9), Span(12, (3,)))
"""More than one block of keys, tails of one token, a sequence by itself."""


class TorchVarlen:
    """Flash attention as torch brings it along; what torch.nn.attention.varlen calls.

    `torch.nn.attention.activate_flash_attention_impl("FA3")` puts a newer one in its place.
    """

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, queries: Cuts, keys: Cuts, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        out, lse, *_ = torch.ops.aten._flash_attention_forward(
            q, k, v, queries.at, keys.at, _most(queries), _most(keys), 0.0, causal, False, scale=scale
        )
        return out, lse

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, queries: Cuts, keys: Cuts,
        causal: bool, scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        state = torch.zeros(2, dtype=torch.uint64, device=q.device)  # of dropout, which there is none
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten._flash_attention_backward(
            grad, q, k, v, out, lse, queries.at, keys.at, _most(queries), _most(keys), 0.0, causal, state,
            torch.empty(0, device=q.device), scale=scale,
        )  # fmt: skip
        return found


class FlashAttention:
    """The package flash-attn, version 2."""

    def __init__(self) -> None:
        from flash_attn import flash_attn_interface as library

        self._forward: Any = library._flash_attn_varlen_forward
        self._backward: Any = library._flash_attn_varlen_backward

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, queries: Cuts, keys: Cuts, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        out, lse, *_ = self._forward(
            q, k, v, queries.at, keys.at, _most(queries), _most(keys), 0.0, scale, causal=causal
        )
        return out, lse

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, queries: Cuts, keys: Cuts,
        causal: bool, scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        self._backward(
            grad, q, k, v, out, lse, dq, dk, dv, queries.at, keys.at, _most(queries), _most(keys), 0.0, scale,
            causal=causal, window_size_left=-1, window_size_right=-1, softcap=0.0, alibi_slopes=None,
            deterministic=False,
        )  # fmt: skip
        return dq, dk, dv


def _most(cuts: Cuts) -> int:
    """At least 2: for queries of one token kernels fold heads into rows, and their log-sum-exps have another shape."""
    return max(2, cuts.longest)


KERNELS: dict[str, Callable[[], Kernel]] = {"flash-attn": FlashAttention, "torch": TorchVarlen}
"""Kernels by name, the preferred one first."""


def right_kernel(query: Tensor, key: Tensor, value: Tensor) -> Kernel | None:
    """The first kernel that computes these heads rightly; None where there is none. (1, heads, length, width)."""
    return _chosen(query.shape[1], key.shape[1], query.shape[3], value.shape[3], value.dtype, query.device)


@lru_cache(maxsize=64)
def _chosen(
    heads: int, kv_heads: int, width: int, v_width: int, dtype: torch.dtype, device: torch.device
) -> Kernel | None:
    refused: dict[str, str] = {}
    for name, make in KERNELS.items():
        try:
            kernel = make()
            with ThreadPoolExecutor(1) as apart:  # checkpointing and autocast of the caller's thread do not reach there
                off = apart.submit(trial, kernel, heads, kv_heads, width, v_width, dtype, device).result()
            if off <= NEAR.get(dtype, 0.0):
                return kernel
            refused[name] = f"differs from plain attention by {off:.1%}"
        except Exception as e:  # not installed, no such interface, no such GPU
            if exhausted(e):
                raise
            refused[name] = first_line(e)
    _say(refused, heads, kv_heads, width, dtype)
    return None


def _say(refused: Mapping[str, str], heads: int, kv_heads: int, width: int, dtype: torch.dtype) -> None:
    shape = f"{heads} heads ({kv_heads} of keys) of {width}, {dtype}"
    why = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    logging.getLogger(__name__).info("no kernel for variable lengths, %s: %s", shape, why)


def trial(
    kernel: Kernel, heads: int, kv_heads: int, width: int, v_width: int, dtype: torch.dtype, device: torch.device
) -> float:
    """How far outputs and gradients over a row of spans are from torch's plain attention in fp32, relative."""
    draw, length = torch.Generator().manual_seed(0), sum(map(len, TRIAL))

    def made(h: int, w: int) -> Tensor:
        return torch.randn(1, h, length, w, generator=draw).to(device, dtype)

    given = [made(heads, width), made(kv_heads, width), made(kv_heads, v_width)]
    slope = made(heads, v_width)
    found: list[list[Tensor]] = []
    for rightly in (False, True):
        leaves = [x.detach().to(torch.float32 if rightly else dtype).requires_grad_() for x in given]
        q, k, v = leaves
        out = in_turn(q, k, v, TRIAL, None, 0.0) if rightly else over_spans(q, k, v, TRIAL, None, kernel)
        out.backward(slope.to(out.dtype))
        found.append([out.detach(), *(x.grad for x in leaves if x.grad is not None)])
    return max(float((a.float() - b).norm() / b.norm()) for a, b in zip(*found, strict=True))
