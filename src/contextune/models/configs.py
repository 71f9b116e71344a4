"""A model's special token ids and generation defaults, made such that transformers can save them and read them back."""

from __future__ import annotations

import re
from typing import Any

SAMPLED = ("temperature", "top_p", "min_p", "top_h", "typical_p", "top_k", "epsilon_cutoff", "eta_cutoff")
"""Generation defaults that mean something only where tokens are drawn."""


def fix_configs(model: Any, tokenizer: Any = None) -> None:
    """Make `config` and `generation_config` valid, in place. What is valid already stays as it is.

    End tokens stay one id or a list of ids, padding and beginning become one id or none; ids outside the vocabulary go.
    Missing padding is the tokenizer's, where one is given, else the first end token. Sampling defaults are kept, and
    `do_sample` is set with them.
    """
    owner = model.get_base_model() if hasattr(model, "get_base_model") else model
    generation = owner.generation_config
    rows = owner.get_input_embeddings().weight.shape[0]
    text = owner.config.get_text_config(decoder=True)
    configs = [owner.config] if text is owner.config else [text, owner.config]
    everywhere = [*([generation] if generation is not None else ()), *configs, tokenizer]
    ends = next(filter(None, (_ids(at, "eos_token_id", rows) for at in everywhere)), [])
    pads = [i for at in everywhere for i in _ids(at, "pad_token_id", rows)]
    given = any(getattr(at, "pad_token_id", None) is not None for at in everywhere)
    pads = (pads or (ends if given or tokenizer is not None else []))[:1]
    for at in configs:
        _set(at, "eos_token_id", _ids(at, "eos_token_id", rows))
        _set(at, "bos_token_id", _ids(at, "bos_token_id", rows)[:1])
        if getattr(at, "pad_token_id", None) is not None:
            _set(at, "pad_token_id", _ids(at, "pad_token_id", rows)[:1] or pads)
    if generation is not None:
        _set(generation, "eos_token_id", ends)
        _set(generation, "bos_token_id", _ids(generation, "bos_token_id", rows)[:1])
        _set(generation, "pad_token_id", pads)
        _fix_sampling(generation)


def _ids(at: Any, name: str, rows: int) -> list[int]:
    """Those of an id or a list of ids that the vocabulary has."""
    value = getattr(at, name, None)
    found = value if isinstance(value, list | tuple) else [value]
    return [i for i in found if isinstance(i, int) and not isinstance(i, bool) and 0 <= i < rows]


def _set(at: Any, name: str, ids: list[int]) -> None:
    """One id as itself, several as a list, none as None; only end tokens may stay a list of one."""
    made = ids[0] if len(ids) == 1 else ids or None
    value = getattr(at, name, None)
    if value != made and not (name == "eos_token_id" and value == ids):
        setattr(at, name, made)


def _fix_sampling(generation: Any) -> None:
    complaint = _complaint(generation)
    if complaint and any(f"`{name}`" in complaint for name in SAMPLED):
        generation.do_sample = True
        complaint = _complaint(generation)
    for name in re.findall(r"`(\w+)`", complaint):
        if complaint and hasattr(generation, name):  # nothing that sampling or end tokens could need
            setattr(generation, name, getattr(type(generation)(), name, None))
            complaint = _complaint(generation)


def _complaint(generation: Any) -> str:
    """What transformers says of a generation config that it would not save, else nothing."""
    try:
        generation.validate(strict=True)
    except (ValueError, TypeError) as e:
        return str(e) or type(e).__name__
    return ""
