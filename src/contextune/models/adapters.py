"""Adapters by peft: put on a model, loaded again, trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

from .load import first_line, load_model
from .options import Adapter
from .resolve import read_config


def check_adapter(adapter: Adapter | None) -> None:
    """UserError where an adapter needs a library that is not there."""
    import importlib.util

    if adapter is not None and adapter.kind == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "train.adapter.kind: qlora needs bitsandbytes, which is not installed",
            "pip install contextune[qlora], or use lora",
        )


def adapt(model: Any, adapter: Adapter) -> Any:
    """The model with a fresh adapter; the adapter alone is trained."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if adapter.kind == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # the recipe decides that
    targets = adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets)
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=targets,
        use_dora=adapter.kind == "dora",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as e:
        raise UserError(f"train.adapter.targets: {first_line(e)}", "all-linear fits every model") from None


def load_adapted(path: str, trainable: bool, quantized: bool = False) -> Any:
    """An adapter folder on top of its base model, to train it further or to use it."""
    from peft import PeftModel

    config = read_config(Path(path))
    base = load_model(str(config["base_model_name_or_path"]), quantized=quantized)
    return PeftModel.from_pretrained(base, path, is_trainable=trainable)
