"""Orthogonal subspace fine-tuning (Nayak et al. 2025, arXiv 2504.07097), by peft.

    W = U_h S_h V_hᵀ + U_l S_l V_lᵀ      singular value decomposition; h: the largest values, l: the others
    trained: U_l, S_l, V_l; the gradients of U_l and V_l are projected onto what is orthogonal to U_h and V_h

A saved adapter holds U_l, S_l and V_l alone; the decomposition is made again from the base's weights. In bf16 these
are rounded, which turns directions of nearly equal values into each other: so the base of an adapter is always
loaded in fp32, and for inference the change is added to its weights before they are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextune.core.errors import UserError, first_line

from .options import Adapter


def refuse_layers(adapter: Adapter, adapted: Mapping[str, tuple[int, ...]]) -> None:
    """UserError where a target is no linear layer, which peft would pass over, or would keep no direction."""
    asked = () if isinstance(adapter.targets, str) else adapter.targets
    strange = [t for t in asked if not any(n == t or n.endswith(f".{t}") for n in adapted)]
    if strange or not adapted:
        raise UserError(
            "train.adapter.kind: osf takes linear layers alone, which "
            f"{', '.join(strange) or 'the layers of this model'} are not",
            "use lora",
        )
    for name, shape in adapted.items():
        if int(min(shape) * adapter.preserved) < 1:
            raise UserError(
                f"train.adapter.preserved is {adapter.preserved:g}, but {name} has {min(shape)} singular directions, "
                "of which that is none",
                f"raise it to {1 / min(shape):.3g} or more, or leave the layer out of targets",
            )


def adapt(model: Any, adapter: Adapter, modules: str | list[str]) -> Any:
    """The model with a fresh adapter. Raises UserError where peft has none, or a layer cannot take it."""
    try:
        from peft import OSFConfig
    except ImportError:
        raise UserError(
            "train.adapter.kind: osf needs a peft that has it (0.18 or newer)", "pip install -U peft, or use lora"
        ) from None
    from peft import get_peft_model

    config = OSFConfig(effective_rank=adapter.preserved, target_modules=modules, task_type="CAUSAL_LM")
    try:
        return get_peft_model(model, config)
    except ValueError as e:
        raise UserError(f"train.adapter.targets: {first_line(e)}", "all-linear fits every model") from None


def is_osf(config: Any) -> bool:
    return bool(getattr(config.peft_type, "value", config.peft_type) == "OSF")


def check_start(path: str, config: Any, adapter: Adapter) -> None:
    """UserError where training starts from an adapter that is not the one that the recipe describes."""
    if adapter.preserved != config.effective_rank:
        raise UserError(
            f"train.adapter.preserved is {adapter.preserved:g}, the adapter {path} that training starts from has "
            f"{config.effective_rank}",
            f"set preserved: {config.effective_rank}; an adapter is trained further as it is",
        )


def merged(model: Any, bf16: bool) -> Any:
    """The base with the change in its weights, in bf16 where that is asked for."""
    whole = model.merge_and_unload()
    return whole.bfloat16() if bf16 else whole
