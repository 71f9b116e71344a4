"""Weights in one folder, as any library of the field reads them: an adapter merged, and compared with itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.models.adapters import load_adapted
from contextune.models.load import load_full, load_tokenizer
from contextune.models.resolve import base_of
from contextune.train.saving import disk_errors

from .arm import FinishedArm

DTYPES = ("float32", "bfloat16", "float16")
TOLERANCE = 1e-3
"""Largest difference of any logit that merging may make, in float32."""
PROBE = 48
"""Tokens of the sequence on which the logits are compared."""
STALE = ("*.safetensors", "*.safetensors.index.json", "*.gguf", "Modelfile", "chat_template.jinja")


def write(arm: FinishedArm, out: Path, dtype: str = "float32", say: Callable[[str], None] = print) -> float:
    """Write weights (safetensors), configurations and the tokenizer with its chat template into `out`.

    Returns the largest difference of the written model's logits, read again, from the arm's own. Raises UserError
    where it exceeds `TOLERANCE` in float32, or where the tokenizer would come back as another.
    """
    import torch

    _remove_stale(out)
    tokenizer = load_tokenizer(str(arm.path), arm.model)
    if arm.is_adapter:
        say(f"merging the adapter into {base_of(arm.path)}")
        model = load_adapted(str(arm.path), trainable=False, model=arm.model)
    else:
        model = load_full(str(arm.path), arm.model)
    ids = _probe(model)
    before = _logits(model, ids)
    if arm.is_adapter:
        model = model.merge_and_unload(safe_merge=True)
    model = model.to(getattr(torch, dtype))
    size = sum(w.numel() * w.element_size() for w in model.parameters())
    say(f"writing {size / 1e6:,.0f} MB of {dtype} to {out}")
    with disk_errors():
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
    del model
    again = load_full(str(out), arm.model)
    difference = float((_logits(again, ids) - before).abs().max())
    if dtype == "float32" and not difference <= TOLERANCE:
        _remove_stale(out)
        raise UserError(
            f"{out}: the logits of the merged weights differ from the adapter's by {difference:.2g}, expected at most "
            f"{TOLERANCE:g}",
            "use the adapter's own folder with peft; please report the adapter's kind and the model",
        )
    read = load_tokenizer(str(out), arm.model)
    if read.chat_template != tokenizer.chat_template or read.get_vocab() != tokenizer.get_vocab():
        raise UserError(f"{out}: the tokenizer would come back as another", f"copy its files from {arm.path}")
    return difference


def refuse_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: unknown type of weights", f"one of {', '.join(DTYPES)}")


def _remove_stale(out: Path) -> None:
    for pattern in STALE:
        for old in out.glob(pattern):
            old.unlink()


def _probe(model: Any) -> Any:
    """(1, PROBE) ids from the whole vocabulary, the same for a model every time."""
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    most = getattr(model.config, "max_position_embeddings", None) or PROBE
    return torch.randint(0, rows, (1, min(PROBE, most)), generator=torch.Generator().manual_seed(0))


def _logits(model: Any, ids: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.float()
