"""Tiny random models of several architectures, and updates whose sequences share their beginnings."""

from __future__ import annotations

import random
from typing import Any

from contextune.core.sequence import IGNORED, Rendered

SIZES = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {**SIZES, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", WIDE),
    "qwen2": ("Qwen2", WIDE),
    "qwen3": ("Qwen3", WIDE),
    "mistral": ("Mistral", WIDE),
    "gemma": ("Gemma", {**WIDE, "num_key_value_heads": 1}),
    "gemma3": ("Gemma3", {**WIDE, "sliding_window": 128}),
    "gpt2": ("GPT2", {**SIZES, "n_positions": 512, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    "gpt_neox": ("GPTNeoX", {**WIDE, "attention_dropout": 0.0}),
    "gemma2": ("Gemma2", WIDE),
    "mamba": ("Mamba", {**SIZES, "state_size": 4}),
}
"""Class of the configuration without `Config`, and its options."""


def make(name: str, **options: Any) -> Any:
    """A causal language model of random weights in training mode, the same at every call."""
    import torch
    import transformers

    family, given = SHAPES[name]
    kind = f"{family}Text" if family == "Gemma3" else family
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**given, **options})
    model = getattr(transformers, "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM")(config)
    with torch.no_grad():  # initial weights are so small that attention hardly matters
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    return model.train()


def update(seed: int = 0) -> list[Rendered]:
    """In-context rows with shared examples, chunks after one prompt, doubles, lone rows; some prefixes are targets."""
    rng = random.Random(seed)
    ids = lambda n: tuple(rng.randrange(3, 100) for _ in range(n))  # noqa: E731
    rows = []
    for shared, tails in ((30, (9, 12, 4)), (17, (40, 33)), (12, (1, 1, 20))):
        beginning = (1, *ids(shared))
        rows += [_row(beginning, ids(tail), rng.randrange(tail)) for tail in tails]
    rows += [_row((1,), ids(n), 0) for n in (1, 7, 25)]
    loud = (1, *ids(15))
    rows += [Rendered(loud + tail, (IGNORED, *loud[1:], *tail)) for tail in (ids(6), ids(11))]
    rows.append(rows[0])
    rng.shuffle(rows)
    return rows


def _row(beginning: tuple[int, ...], rest: tuple[int, ...], silent: int) -> Rendered:
    """Loss on `rest` but for its first `silent` tokens."""
    return Rendered(beginning + rest, (IGNORED,) * (len(beginning) + silent) + rest[silent:])
