"""Models by name, folder or hub id: found and checked before anything is loaded.

Weights are safetensors only; remote code is off unless the recipe says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .recipe import Adapter, Model
    from .sequence import Tokenizer

SMALL = 10_000_000
"""Parameters below which one thread is faster than several on shared cores."""


def resolve(model: Model, folder: Path) -> str:
    """The folder (absolute) or hub id behind a recipe's `model`. A path is relative to the recipe's folder."""
    if model.path == "pocket":
        from .worlds import pocket

        return str(pocket.path())
    for base in (folder, Path()):
        local = (base / model.path).expanduser()
        if local.is_dir():
            return str(local.resolve())
        if local.is_file():
            raise UserError(
                f"model: {local} is a file, expected a model folder", "give the folder that holds config.json"
            )
    if model.path.startswith((".", "/", "~")) or model.path.count("/") > 1:
        raise UserError(f"model: no folder {model.path} (looked in {folder.resolve()} and here)", "check the path")
    return model.path


def check(path: str, revision: str | None = None) -> dict[str, Any]:
    """Look at a model without loading it; returns its configuration.

    Raises UserError where the folder lacks a configuration, safetensors weights or a tokenizer, or where a hub id
    cannot be reached.
    """
    folder = Path(path)
    if not folder.is_dir():
        return _check_hub(path, revision)
    config = _config(folder)
    adapter = (folder / "adapter_config.json").exists()
    if not list(folder.glob("*.safetensors")):
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
    return config


def _config(folder: Path) -> dict[str, Any]:
    name = "adapter_config.json" if (folder / "adapter_config.json").exists() else "config.json"
    try:
        config = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"model {folder}: no config.json", "point at a folder made by save_pretrained") from None
    except (ValueError, UnicodeDecodeError) as e:
        raise UserError(f"model {folder}: {name} is not valid JSON ({e})", "copy the file again") from None
    if not isinstance(config, dict):
        raise UserError(f"model {folder}: {name} holds no mapping", "copy the file again")
    return config


def _check_hub(name: str, revision: str | None) -> dict[str, Any]:
    from transformers import AutoConfig

    try:
        return dict(AutoConfig.from_pretrained(name, revision=revision).to_dict())
    except (OSError, ValueError) as e:
        first = str(e).strip().splitlines()[0]
        raise UserError(
            f"model '{name}': not a folder here, and the hub gave nothing ({first})",
            "give a model folder, 'pocket', or a hub id that this machine can reach",
        ) from None


def fingerprint(path: str) -> str:
    """Hash of a model's configuration, tokenizer and weights (large files: size and 64 samples of 64 KiB)."""
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}"
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".jinja", ".model")):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as f:
            if size <= 1 << 28:
                digest.update(f.read())
            else:
                for i in range(64):
                    f.seek(i * (size - 65536) // 63)
                    digest.update(f.read(65536))
    return digest.hexdigest()


def load_tokenizer(path: str, model: Model | None = None) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **_remote(model))
    except Exception as e:
        raise UserError(
            f"model {path}: its tokenizer does not load ({_first(e)})", "save it with tokenizer.save_pretrained"
        ) from None
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: str, model: Model | None = None, bf16: bool = False, quantized: bool = False) -> Any:
    """The causal language model of a folder or hub id, in fp32, or bf16 for inference."""
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {
        "dtype": torch.bfloat16 if bf16 else torch.float32,
        "use_safetensors": True,
        **_remote(model),
    }
    if quantized:
        options["quantization_config"] = _four_bit()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(path, **options)
    except Exception as e:
        raise UserError(
            f"model {path}: does not load ({_first(e)})", "contextune check shows what it needs; --debug the traceback"
        ) from None
    loaded.generation_config.pad_token_id = loaded.generation_config.pad_token_id or loaded.config.eos_token_id
    return loaded


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
        raise UserError(f"train.adapter.targets: {_first(e)}", "all-linear fits every model") from None


def load_adapted(path: str, trainable: bool, quantized: bool = False) -> Any:
    """An adapter folder on top of its base model, to go on training it or to use it."""
    from peft import PeftModel

    config = _config(Path(path))
    base = load_model(str(config["base_model_name_or_path"]), quantized=quantized)
    return PeftModel.from_pretrained(base, path, is_trainable=trainable)


def is_adapter(path: str) -> bool:
    return (Path(path) / "adapter_config.json").exists()


def parameters(config: dict[str, Any]) -> int:
    """Roughly how many parameters a configuration stands for."""
    width, layers = int(config.get("hidden_size", 0)), int(config.get("num_hidden_layers", 0))
    vocabulary = int(config.get("vocab_size", 0))
    feed_forward = int(config.get("intermediate_size") or 4 * width)
    heads = 1 if config.get("tie_word_embeddings") else 2
    return vocabulary * width * heads + layers * (4 * width * width + 3 * width * feed_forward)


@contextmanager
def threads(count: int, size: int) -> Iterator[int]:
    """Within: `count` threads; 0 means one for a model of fewer than 10 M parameters (`size`), else as torch has it."""
    import torch

    before = torch.get_num_threads()
    chosen = count or (1 if size < SMALL else before)
    torch.set_num_threads(chosen)
    try:
        yield chosen
    finally:
        torch.set_num_threads(before)


def _four_bit() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)


def _remote(model: Model | None) -> dict[str, Any]:
    return (
        {"trust_remote_code": False}
        if model is None
        else {"trust_remote_code": model.trust_remote_code, "revision": model.revision}
    )


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
