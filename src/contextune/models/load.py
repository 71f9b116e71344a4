"""Loads tokenizers and causal language models, and says what failed in one sentence."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core import clock, registry
from contextune.core.environment import rank
from contextune.core.errors import UserError, first_line, readable, shown

from .configs import fix_configs
from .resolve import base_of, is_adapter, known
from .weights import refuse_bidirectional, refuse_keys, refuse_values

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer

    from .options import Model

SMALL = 10_000_000
"""Parameters below which one thread is faster than several on shared cores."""


def load_tokenizer(path: str, model: Model | None = None) -> Tokenizer:
    """The tokenizer of a known model's name ('pocket'), a folder, or a hub id. Raises UserError.

    Within a run its chat template writes the run's date (`core.clock`), today or when it is resumed another day.
    """
    from transformers import AutoTokenizer

    path = known(path)
    if is_adapter(path) and not (Path(path) / "tokenizer_config.json").exists():
        path = base_of(Path(path))
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **_remote(model))
        _try(tokenizer)
    except BaseException as e:
        if not isinstance(e, Exception) and type(e).__name__ != "PanicException":  # what Rust raises
            raise
        raise _unloadable(path, "its tokenizer does not load", e, "save it with tokenizer.save_pretrained") from None
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if clock.is_fixed():
        dated: Any = partial(_apply_dated, tokenizer.apply_chat_template, clock.now())
        tokenizer.apply_chat_template = dated  # type: ignore[method-assign]
    return tokenizer


def _try(tokenizer: Any) -> None:
    """Any exception where a tokenizer that was read does not work."""
    if not isinstance(tokenizer.model_max_length, int | float):
        raise ValueError(f"model_max_length is {shown(tokenizer.model_max_length)}, expected a number")
    tokenizer.decode(tokenizer.encode("a b"), skip_special_tokens=True)


_DATE = re.compile(r"""\bstrftime_now\(\s*(?:format\s*=\s*)?(["'])(.*?)\1\s*\)""")


def _apply_dated(
    apply: Any, when: datetime, conversation: Any, tools: Any = None, chat_template: str | None = None, **options: Any
) -> Any:
    """`apply_chat_template` with the date in place of `strftime_now("…")`; a template is handed no function."""
    if chat_template is not None or apply.__self__.chat_template:
        text = apply.__self__.get_chat_template(chat_template, tools)
        chat_template = _DATE.sub(lambda found: json.dumps(when.strftime(found[2]), ensure_ascii=False), text)
    return apply(conversation, tools=tools, chat_template=chat_template, **options)


def _unloadable(path: str, what: str, error: BaseException, fix: str) -> UserError:
    """A folder that is broken, or a hub id that cannot be reached."""
    if Path(path).is_dir():
        return UserError(f"model {path}: {what} ({first_line(error)})", fix)
    return UserError(
        f"model {shown(path, 100)}: no folder of that name here, and not found on the hub ("
        f"{readable(first_line(error), 250)})",
        f"give a model folder, a GGUF file, a hub id that this machine can reach, or one of: "
        f"{', '.join(registry.models.names())}",
    )


def load_full(path: str, model: Model | None = None, bf16: bool = False, quantized: bool = False) -> Any:
    """The causal language model of a folder or hub id, in fp32, or bf16 for inference.

    Raises UserError where the weights are not those of the configuration, are not finite, or see later tokens.
    """
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {
        "dtype": torch.bfloat16 if bf16 else torch.float32,
        "use_safetensors": True,
        **_remote(model),
    }
    if quantized:
        options["quantization_config"] = _four_bit()
    path = known(path)
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            path, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    except Exception as e:
        raise _unloadable(
            path, "does not load", e, "contextune check shows what it needs; --debug the traceback"
        ) from None
    loaded, info = opened
    refuse_keys(path, loaded, info)
    fix_configs(loaded)
    if rank() == 0:  # of a sharded launch the others may hold no weights yet
        refuse_values(path, loaded)
        refuse_bidirectional(path, loaded)
    return loaded


@contextmanager
def threads(count: int, size: int) -> Iterator[int]:
    """Within: `count` threads, but no more than there are cores (thousands end the process).

    0 means one for a model of fewer than 10 M parameters (`size`), else as torch has it.
    """
    import torch

    before = torch.get_num_threads()
    chosen = min(count, os.cpu_count() or 1) or (1 if size < SMALL else before)
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
