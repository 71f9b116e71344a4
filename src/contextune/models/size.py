"""How many parameters a model has, read off the headers of its weights; nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError, first_line

from .resolve import base_of, has_weights, is_adapter, known, parameters, read_config
from .weights import shapes

HEADS, EMBEDDINGS = ("lm_head.weight", "embed_out.weight"), ("embed_tokens.weight", "wte.weight", "embed_in.weight")


def count(path: str, config: Mapping[str, Any]) -> int:
    """Parameters of a folder (tied ones once; an adapter's with its base's); of a hub id what its configuration says.

    `config` is the model's, of an adapter its base's. Weights that are stored quantized are counted by it too.
    Raises UserError where a file is missing or broken.
    """
    folder = Path(known(path))
    if is_adapter(str(folder)):
        base = base_of(folder)
        return stored(folder) + count(base, read_config(Path(base)) if Path(base).is_dir() else config)
    if not folder.is_dir() or "quantization_config" in config:
        return parameters(dict(config))
    if not has_weights(path):
        return of_configuration(folder)
    found = shapes(folder)
    tied = config.get("tie_word_embeddings", (config.get("text_config") or {}).get("tie_word_embeddings"))
    head = next((name for name in found if name.endswith(HEADS)), None)
    twice = head is not None and any(n.endswith(EMBEDDINGS) and found[n] == found[head] for n in found)
    return _sum(found) - (math.prod(found[head]) if tied and twice and head is not None else 0)


def of_configuration(folder: Path) -> int:
    """Parameters that a folder's configuration stands for, tied ones once; shapes only. Raises UserError."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), trust_remote_code=False)
    except Exception as e:
        message = f"model {folder}: its config.json is not understood ({first_line(e)})"
        raise UserError(message, "copy it again") from None
    return sum(p.numel() for p in model.parameters())


def stored(folder: Path) -> int:
    """Parameters in an adapter's own folder."""
    return _sum(shapes(folder, "adapter_model.safetensors"))


def _sum(found: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in found.values())
