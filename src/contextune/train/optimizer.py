"""Which optimizer trains: whether it can, and what it keeps of each trained parameter."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable

from contextune.core.errors import UserError

from .options import Train

BLOCK = 256
"""Values of an 8-bit state that share one fp32 scale (bitsandbytes)."""
SMALLEST = 4096
"""Tensors of fewer values keep states in fp32 (bitsandbytes, `min_8bit_size`)."""


def check_optimizer(train: Train) -> None:
    """UserError where the optimizer needs a library that is not there."""
    if train.eight_bit and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"train.optimizer: {train.optimizer} needs bitsandbytes, which is not installed",
            "pip install 'contextune[qlora]', or use adamw or adafactor",
        )


def state_bytes(optimizer: str, shapes: Iterable[tuple[int, ...]]) -> int:
    """Bytes of an optimizer's states for trained tensors of these shapes.

    AdamW: two fp32 values a parameter (Kingma and Ba 2015). In 8 bits: two bytes and two scales a block (Dettmers et
    al. 2022). Adafactor: sums over rows and over columns of a matrix, one value a parameter of a vector (Shazeer and
    Stern 2018).
    """
    total = 0
    for shape in shapes:
        size = math.prod(shape)
        if optimizer == "adafactor":
            total += 4 * (math.prod(shape[:-1]) + math.prod((*shape[:-2], shape[-1])) if len(shape) > 1 else size)
        elif optimizer == "adamw" or size < SMALLEST:
            total += 8 * size
        else:
            total += 2 * size + 2 * 4 * -(-size // BLOCK)
    return total


def step_bytes(optimizer: str, shapes: Iterable[tuple[int, ...]]) -> int:
    """Bytes that a step takes beside gradients and states: adafactor's update of one tensor and its square."""
    return 2 * 4 * max((math.prod(s) for s in shapes), default=0) if optimizer == "adafactor" else 0
