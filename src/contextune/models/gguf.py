"""Models in GGUF files: their weights are dequantized once, into a folder of the cache that then loads as any other."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from contextune.core import cache
from contextune.core.errors import UserError, first_line
from contextune.core.files import samples
from contextune.core.machine import refusal

from .gguf_header import refuse_header
from .weights import refuse_keys

MAGIC = b"GGUF"
FIX = "give the whole file of a causal language model whose architecture transformers reads from GGUF"


def is_gguf(file: Path) -> bool:
    return file.suffix.lower() == ".gguf" and file.is_file()


def converted(file: Path) -> Path:
    """The folder of a GGUF file's model (bf16 safetensors and tokenizer), made at the first call.

    It is kept under the file's contents, so that a moved file is found and a changed one is converted anew.
    Raises UserError for a file that is damaged or holds no model that transformers reads.
    """
    with file.open("rb") as f:
        start = f.read(len(MAGIC))
    if start != MAGIC:
        raise UserError(f"model {file}: no GGUF file (it begins with {start!r}, expected {MAGIC!r})", FIX)
    refuse_header(file, FIX)
    known = hashlib.blake2b(str(file.stat().st_size).encode(), digest_size=6)
    for part in samples(file):
        known.update(part)
    folder = cache.folder() / "gguf" / f"{file.stem[:100]}-{known.hexdigest()}"
    return cache.make_once(folder, lambda to: convert(file, to))


def refuse_without_gguf(what: str) -> None:
    """UserError where the package that reads GGUF files is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise UserError(f"{what}: reading GGUF files needs the package gguf", "pip install 'contextune[gguf]'")


def convert(file: Path, to: Path) -> None:
    """Write the model and the tokenizer of a GGUF file into a folder. Raises UserError."""
    refuse_without_gguf(f"model {file}")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    where: Any = str(file.parent)
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            where, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16,
            output_loading_info=True, trust_remote_code=False,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file.name)
    except Exception as e:
        raise refusal(e, file) or UserError(f"model {file}: it does not load ({first_line(e)})", FIX) from None
    read, info = opened
    refuse_keys(str(file), read, info)
    config = read.config
    config.__dict__.pop("quantization_config", None)  # the weights are plain now
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    model.save_pretrained(to)
    tokenizer.save_pretrained(to)
