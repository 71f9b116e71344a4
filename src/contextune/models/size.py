"""How many parameters a model has, read off the headers of its weights; nothing is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

from .resolve import is_adapter, known, parameters, read_config

HEADS, EMBEDDINGS = ("lm_head.weight", "embed_out.weight"), ("embed_tokens.weight", "wte.weight", "embed_in.weight")


def count(path: str, config: Mapping[str, Any]) -> int:
    """Parameters of a folder (tied ones once; an adapter's with its base's); of a hub id what its configuration says.

    Weights that are stored quantized are counted by the configuration too.
    """
    folder = Path(known(path))
    if not folder.is_dir() or "quantization_config" in config:
        return parameters(dict(config))
    shapes = stored(folder)
    total = sum(math.prod(shape) for shape in shapes.values())
    if is_adapter(str(folder)):
        base = str(config.get("base_model_name_or_path") or "")
        return total + (count(base, read_config(Path(known(base)))) if Path(known(base)).is_dir() else 0)
    tied = config.get("tie_word_embeddings", (config.get("text_config") or {}).get("tie_word_embeddings"))
    head = next((name for name in shapes if name.endswith(HEADS)), None)
    twice = head is not None and any(n.endswith(EMBEDDINGS) and shapes[n] == shapes[head] for n in shapes)
    return total - (math.prod(shapes[head]) if tied and twice and head is not None else 0)


def stored(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that are loaded from a folder: of its index, its one file, or all its files.

    Raises UserError where a file is missing or broken.
    """
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    one = [f for f in (folder / "model.safetensors", folder / "adapter_model.safetensors") if f.exists()]
    if index.exists() and not one:
        files = sorted({folder / name for name in json.loads(index.read_text())["weight_map"].values()})
    else:
        files = one or sorted(folder.glob("*.safetensors"))
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, "pt") as tensors:
                found |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as e:
            raise UserError(f"model {folder}: {file.name} does not load ({e})", "copy the file again") from None
    return found
