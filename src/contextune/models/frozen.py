"""Frozen weights in bf16: half the memory, and the same products bit for bit where the run computes in bf16.

Autocast rounds the weight of every linear layer to bf16 at each of its products; here that is done once. Embeddings,
norms and whatever is no linear layer stay in fp32, as they are computed, and so does all that is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from transformers.pytorch_utils import Conv1D


def halve(model: Any) -> int:
    """Bring the frozen weights of linear layers to bf16, and return how many values that were.

    A weight that an embedding shares stays in fp32, as looking it up is no product.
    """
    found = 0
    for module in _layers(model):
        if module.weight.requires_grad:
            continue
        for name, weight in module.named_parameters(recurse=False):
            if weight.is_floating_point() and not weight.requires_grad:
                module._parameters[name] = torch.nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)
                found += weight.numel()
    return found


def widen(model: Any) -> None:
    """Bring everything that is not in fp32 to it, but for the weights that `halve` would take."""
    kept = {id(p) for layer in _layers(model) for p in layer.parameters(recurse=False)}
    for parameter in model.parameters():
        if id(parameter) not in kept and parameter.is_floating_point():
            parameter.data = parameter.data.float()


def _layers(model: Any) -> list[Any]:
    """Linear layers whose weight no embedding shares."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    return [m for m in model.modules() if type(m) in (torch.nn.Linear, Conv1D) and id(m.weight) not in tables]


def is_halved(model: Any) -> bool:
    return any(p.dtype == torch.bfloat16 and not p.requires_grad for p in model.parameters())


class _Upcast(TorchFunctionMode):
    """Products of a halved weight outside autocast: the weight is brought to the input's precision for each."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (F.linear, torch.addmm):
            dtype = args[1 if func is torch.addmm else 0].dtype
            args = tuple(a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)
        return func(*args, **(kwargs or {}))


@contextmanager
def upcast(model: Any) -> Iterator[None]:
    """Within: a halved model computes in fp32 (its weights as they were rounded); any other is left alone."""
    if not is_halved(model):
        yield
        return
    with _Upcast():
        yield
