"""In which floating-point format a model is trained."""

from __future__ import annotations

from contextune import models
from contextune.core.environment import native_bf16


def wants_bf16(precision: str, size: int, gpu: bool = False) -> bool:
    """Where `auto`: on GPUs that have it, and on CPUs with native bf16 products for models that are not tiny.

    `gpu`: a GPU that is not here, and has it.
    """
    if precision != "auto":
        return precision == "bf16"
    if gpu:
        return True
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return size >= models.SMALL and bool(native_bf16())
