"""Liger's RMSNorm, rotary embeddings and gated feed-forward layers, for the architectures that it knows.

Liger changes a model's layers, and beside them functions and classes of transformers' own module, by which every other
model of that architecture in the process, one on a processor too, would run them. So the module's names are put back,
and its functions stand in only while this model takes a step (`FastPath.around`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from contextune.core.errors import first_line
from contextune.core.progress import say_once
from contextune.models.lm_head import unwrapped

from . import liger
from .fast_path import differs, of_short_texts
from .standing_in import module_of


def fuse(model: Any, device: torch.device) -> Mapping[str, Any]:
    """Change the layers of `model` to Liger's, and return the functions that must stand in while it trains.

    The model is moved to `device` for it. Nothing is changed where Liger is not installed, does not know the
    architecture, fails, or computes otherwise: the last two are said once.
    """
    if not liger.installed(device) or not _known(unwrapped(model)):
        return {}
    if next(model.parameters()).device.type != device.type:
        model.to(device)
    plain, before = of_short_texts(model, {}), [(m, dict(m.__dict__)) for m in model.modules()]
    try:
        names = _applied(unwrapped(model))
        wrong = differs(of_short_texts(model, names), plain) if not isinstance(plain, str) else plain
    except Exception as e:  # whatever another release or a compiler may raise
        wrong = f"it fails: {first_line(e)}"
    if not wrong:
        return names
    for module, state in before:
        module.__dict__.clear()
        module.__dict__.update(state)
    say_once(f"liger-kernel: its layers are not taken for {type(unwrapped(model)).__name__} ({wrong})")
    return {}


def _known(model: Any) -> bool:
    try:
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as known
    except Exception:  # no Triton, say
        return False
    return model.config.model_type in known


def _applied(model: Any) -> dict[str, Any]:
    """Liger's functions by their names in the architecture's module, which is as before."""
    from liger_kernel.transformers import _apply_liger_kernel_to_instance as apply

    module = module_of(model)
    before = dict(vars(module))
    try:
        apply(model=model, fused_linear_cross_entropy=False, cross_entropy=False)
        changed = {name: value for name, value in vars(module).items() if before.get(name) is not value}
    finally:
        for name, value in before.items():
            setattr(module, name, value)
    return {name: value for name, value in changed.items() if not inspect.isclass(value)}
