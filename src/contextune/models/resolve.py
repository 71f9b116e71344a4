"""Models by name, folder or hub id: found and checked before anything is loaded.

Weights are safetensors only; remote code is off unless the recipe says otherwise.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from contextune.core import registry
from contextune.core.errors import UserError, first_line, readable, shown
from contextune.core.files import released, samples
from contextune.core.reading import read_json, refuse_path

from .gguf import converted, is_gguf
from .options import Model

CONFIG = 2**23
"""Bytes of a model's configuration."""


def resolve(model: Model, folder: Path) -> str:
    """The folder (absolute) or hub id behind a recipe's `model`. A path is relative to the recipe's folder."""
    if model.path in registry.models:
        return known(model.path)
    refuse_path(model.path, "model")
    for base in (folder, Path()):
        local = (base / model.path).expanduser()
        if local.is_dir():
            return str(local.resolve())
        if is_gguf(local):
            return str(converted(local.resolve()))
        if local.is_file():
            raise UserError(
                f"model: {local} is a file, expected a model folder or a GGUF file",
                "give the folder that holds config.json",
            )
    stages = [(base / model.path).expanduser().parent for base in (folder, Path())]
    if Path(model.path).name == "model" and any(map(released, stages)):
        raise UserError(
            f"model: {readable(model.path)}: these weights were not kept by their run (keep)",
            "contextune train with the same recipe and keep=all trains them again",
        )
    if model.path.startswith((".", "/", "~")) or model.path.count("/") > 1:
        raise UserError(
            f"model: no folder {readable(model.path)} (looked in {folder.resolve()} and here)", "check the path"
        )
    return model.path


def known(name: str) -> str:
    """The folder of a known model ('pocket') or of a GGUF file's model; any other name as it is."""
    if name in registry.models:
        return str(registry.models.find(name)().path())
    return str(converted(Path(name).resolve())) if is_gguf(Path(name)) else name


def check(path: str, revision: str | None = None, weights: bool = True) -> dict[str, Any]:
    """Look at a model without loading it; returns its configuration, that of its base for an adapter.

    Raises UserError where the folder lacks a configuration, safetensors weights (where `weights` are needed) or a
    tokenizer, or where a hub id cannot be reached.
    """
    refuse_path(path, "model")
    folder = Path(path)
    if not folder.is_dir():
        return _check_hub(path, revision)
    config = read_config(folder)
    adapter = is_adapter(path)
    if not has_weights(path) and (weights or adapter):
        pickles = [p.name for p in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))]
        if pickles:
            raise UserError(
                f"model {folder}: its weights are pickles ({pickles[0]}), which can run code when loaded",
                "convert them once with transformers: model.save_pretrained(folder) writes safetensors",
            )
        raise UserError(f"model {folder}: no weights (*.safetensors)", "point at a folder made by save_pretrained")
    if not adapter and not any((folder / f).exists() for f in ("tokenizer.json", "tokenizer_config.json")):
        raise UserError(
            f"model {folder}: no tokenizer (tokenizer.json)", "save the model's tokenizer into the same folder"
        )
    return check(base_of(folder)) if adapter else config


def has_weights(path: str) -> bool:
    """Whether a folder holds weights; of a hub id that is not asked."""
    return not Path(path).is_dir() or any(Path(path).glob("*.safetensors"))


def read_config(folder: Path) -> dict[str, Any]:
    name = "adapter_config.json" if (folder / "adapter_config.json").exists() else "config.json"
    try:
        config = read_json(folder / name, CONFIG)
    except FileNotFoundError:
        raise UserError(f"model {folder}: no config.json", "point at a folder made by save_pretrained") from None
    except ValueError as e:
        raise UserError(f"model {folder}: {name} is not valid JSON ({e})", "copy the file again") from None
    if not isinstance(config, dict):
        raise UserError(f"model {folder}: {name} holds no mapping", "copy the file again")
    return config


def base_of(folder: Path) -> str:
    """The folder or hub id of an adapter's base model. Raises UserError where a folder is not there."""
    name = read_config(folder).get("base_model_name_or_path")
    fix = "set base_model_name_or_path in adapter_config.json to the base model's folder"
    if not isinstance(name, str) or not name:
        raise UserError(f"adapter {folder}: it does not name its base model", fix)
    for local in (Path(name).expanduser(), folder / name, folder.parent / name):
        if local.is_dir():
            return str(local.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"adapter {folder}: its base model {name} is not there", fix)
    return name


def _check_hub(name: str, revision: str | None) -> dict[str, Any]:
    from transformers import AutoConfig

    try:
        return dict(AutoConfig.from_pretrained(name, revision=revision).to_dict())
    except (OSError, ValueError) as e:
        raise UserError(
            f"model {shown(name, 100)}: no folder of that name here, and not found on the hub ("
            f"{readable(first_line(e), 250)})",
            f"give a model folder, a GGUF file, a hub id that this machine can reach, or one of: "
            f"{', '.join(registry.models.names())}",
        ) from None


def fingerprint(path: str) -> str:
    """Hash of a model's configuration, tokenizer and weights (large files: size and 64 samples of 64 KiB)."""
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}"
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".jinja", ".model")):
        digest.update(f"{file.name}:{file.stat().st_size}".encode())
        for part in samples(file):
            digest.update(part)
    return digest.hexdigest()


def is_adapter(path: str) -> bool:
    return (Path(path) / "adapter_config.json").exists()


def parameters(config: dict[str, Any]) -> int:
    """Roughly how many parameters a configuration stands for."""
    width, layers = int(config.get("hidden_size", 0)), int(config.get("num_hidden_layers", 0))
    vocabulary = int(config.get("vocab_size", 0))
    feed_forward = int(config.get("intermediate_size") or 4 * width)
    heads = 1 if config.get("tie_word_embeddings") else 2
    return vocabulary * width * heads + layers * (4 * width * width + 3 * width * feed_forward)
