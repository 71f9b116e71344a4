"""Liger's kernels for GPUs, where the package is installed: the head's loss, and layers that transformers patches.

Hsu et al. 2024, Liger Kernel. Each is tried on a few numbers before it is taken: where it fails (no compiler for
Triton, another interface) or computes otherwise, that is said once, and torch does it.
"""

from __future__ import annotations

import inspect
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from contextune.core.errors import first_line
from contextune.core.memory import exhausted
from contextune.core.progress import say_once

DEVICES = {"cuda"}
"""Kinds of devices that the kernels run on."""
NEAR = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""How far the trial may be from fp32, relative."""


def installed(device: torch.device) -> bool:
    return device.type in DEVICES and find_spec("liger_kernel") is not None


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, rows: int
) -> Tensor | None:
    """Summed cross-entropy of a linear head, fused; None where it cannot be had.

    `hidden` (n, width), `weight` (vocabulary, width), `targets` (n,); blocks of about `rows` rows. Where no gradient
    at `hidden` is asked for, Liger makes none at all.
    """
    fit = hidden.requires_grad and len(hidden) > 0 and not isinstance(hidden, FakeTensor)
    if not fit or not installed(hidden.device):
        return None
    kind = hidden.device.type
    cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    if not _right(hidden.dtype, weight.dtype, cast, bias is not None, hidden.device):
        return None
    return _fused(hidden, weight, bias, targets, rows)


def _fused(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, rows: int) -> Tensor:
    """Weight gradients are summed over blocks in fp32."""
    from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction as Fused

    wanted = {"reduction": "sum", "accum_dtype": torch.float32, "chunk_mem_const": _budget(hidden, weight, rows)}
    names = list(inspect.signature(Fused.forward).parameters.values())[1:]  # without ctx
    first: dict[str, Any] = {"_input": hidden, "weight": weight, "target": targets, "bias": bias}
    found = Fused.apply(*[{**first, **wanted}.get(p.name, p.default) for p in names])
    loss: Tensor = found[0] if isinstance(found, tuple) else found
    return loss


def _budget(hidden: Tensor, weight: Tensor, rows: int) -> int:
    """Its blocks hold C n / (vocabulary / width) rows, rounded up to a power of two; by default C is 1."""
    n, width = hidden.shape
    return max(1, math.ceil(len(weight) * min(rows, n) / (n * width)))


@lru_cache(maxsize=16)
def _right(
    hidden: torch.dtype, weight: torch.dtype, cast: torch.dtype | None, bias: bool, device: torch.device
) -> bool:
    try:
        with ThreadPoolExecutor(1) as apart:  # autocast and hooks of the caller's thread do not reach there
            off = apart.submit(_trial, hidden, weight, cast, bias, device).result()
    except Exception as e:  # whatever a compiler or another release may raise
        if exhausted(e):
            raise
        say_once(f"liger-kernel: its loss fails ({first_line(e)}); the head's loss is made in parts by torch")
        return False
    if off > NEAR.get(cast or weight, 0.0):
        say_once(f"liger-kernel: its loss or gradients are off by {off:.1%}; the head's loss is made in parts by torch")
        return False
    return True


def _trial(
    hidden: torch.dtype, weight: torch.dtype, cast: torch.dtype | None, bias: bool, device: torch.device
) -> float:
    """How far loss and gradients of 70 rows over a vocabulary of 300 are from torch's in fp32, relative."""
    draw = torch.Generator().manual_seed(0)
    shapes = ((70, 64), (300, 64), (300,))
    made = [
        torch.randn(s, generator=draw).mul_(0.5).to(device, d)
        for s, d in zip(shapes, (hidden, weight, weight), strict=True)
    ]
    targets = torch.randint(300, (70,), generator=draw).to(device)
    found: list[list[Tensor]] = []
    for rightly in (False, True):
        h, w, b = (x.float().requires_grad_() if rightly else x.clone().requires_grad_() for x in made)
        given = b if bias else None
        with nullcontext() if rightly or cast is None else torch.autocast(device.type, cast):
            if rightly:
                loss = F.cross_entropy(F.linear(h, w, given), targets, reduction="sum")
            else:
                loss = _fused(h, w, given, targets, 32)
        (loss * 0.5).backward()
        found.append([loss.detach(), *(x.grad for x in (h, w, b) if x.grad is not None)])
    if len(found[0]) != len(found[1]):
        return math.inf
    return max(float((a.float() - b).norm() / b.norm()) for a, b in zip(*found, strict=True))
