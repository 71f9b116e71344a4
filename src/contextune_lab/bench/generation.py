"""Greedy texts after short prompts, and after prompts that begin with one document, as augmentation asks for them:
ours, and transformers on padded prompts."""

from __future__ import annotations

from typing import Any

import torch

from contextune.core.encoding import encode
from contextune.generation.local import LocalEngine, prompt_ids
from contextune.generation.protocol import Request

from . import race
from .scoring import items
from .training import ROWS, for_inference, model_of, tokenizer_of

NEW = 32
"""Tokens written."""
DOCUMENT = 600
"""Tokens of the document, about."""


def measure(
    size: str, rounds: int, requests: int, told: race.RaceProgress, document: bool = False, device: str = "cpu"
) -> dict[str, Any]:
    """Seconds of both, the ratio, and the share of prompts with the same text."""
    model, tokenizer = for_inference(model_of(size), device), tokenizer_of(size)
    prompts = _prompts(tokenizer, requests, DOCUMENT if document else 0)
    engine, found = LocalEngine(model, tokenizer), dict[str, list[str]]()

    def ours() -> None:
        answers = dict(engine.complete([Request(p, max_tokens=NEW, cut=True) for p in prompts]))
        found["ours"] = [str(answers[i]) for i in range(len(prompts))]

    def theirs() -> None:
        texts: list[str] = []
        for at in range(0, len(prompts), ROWS):
            texts += _generate(model, tokenizer, prompts[at : at + ROWS])
        found["transformers"] = texts

    times, peaks = race.race(
        {"ours": ours, "transformers": theirs}, rounds, lambda t: told(f"{size} generation: {t}"), device
    )
    same = sum(a.strip() == b.strip() for a, b in zip(found["ours"], found["transformers"], strict=True))
    return {
        "size": size, "document": document, "requests": requests, "rounds": rounds, "same": same / len(prompts),
        "runners": race.results(times, peaks),
    }  # fmt: skip


def _prompts(tokenizer: Any, requests: int, shared: int) -> list[str]:
    """Questions of about 35 tokens, all after a text of `shared` tokens."""
    asked = [item.prompt.rpartition("\n\n")[2] for item in items(tokenizer, requests)]
    text = " ".join(item.prompt for item in items(tokenizer, 8, seed=1)).replace("\n", " ")
    document = tokenizer.decode(encode(text, tokenizer)[:shared]) + "\n\n" if shared else ""
    return [document + question for question in asked]


def _generate(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    """transformers' own batched generation: left padding and a mask."""
    rows = [prompt_ids(p, tokenizer) for p in prompts]
    width, pad = max(map(len, rows)), tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=model.device)
    with torch.no_grad():
        out = model.generate(ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, pad_token_id=pad)
    return [tokenizer.decode(row[width:], skip_special_tokens=True) for row in out]
