"""Greedy texts about one document, as augmentation asks for them: ours, and transformers on padded prompts."""

from __future__ import annotations

from typing import Any

import torch

from .. import models
from ..generate.base import Request
from ..generate.local import Local
from ..sequence import begins, encode
from ..worlds import pocket
from . import race
from .scoring import items
from .training import ROWS, model_of

NEW = 32
"""Tokens written."""


def measure(size: str, rounds: int, requests: int, told: race.Told) -> dict[str, Any]:
    """Seconds of both, the ratio, and the share of prompts with the same text."""
    model, tokenizer = model_of(size).eval(), models.load_tokenizer(str(pocket.path()))
    prompts = [item.prompt for item in items(tokenizer, requests)]
    engine, found = Local(model, tokenizer), dict[str, list[str]]()

    def ours() -> None:
        answers = dict(engine.complete([Request(p, max_tokens=NEW, cut=True) for p in prompts]))
        found["ours"] = [str(answers[i]) for i in range(len(prompts))]

    def theirs() -> None:
        texts: list[str] = []
        for at in range(0, len(prompts), ROWS):
            texts += _generate(model, tokenizer, prompts[at : at + ROWS])
        found["transformers"] = texts

    times, peaks = race.race({"ours": ours, "transformers": theirs}, rounds, lambda t: told(f"{size} generation: {t}"))
    same = sum(a.strip() == b.strip() for a, b in zip(found["ours"], found["transformers"], strict=True))
    return {
        "size": size, "requests": requests, "rounds": rounds, "same": same / len(prompts),
        "runners": {
            name: {
                "seconds": t.median, "range": [min(t.seconds), max(t.seconds)], "peak": peaks[name],
                "ours_is_faster": times["ours"].times_faster(t),
            }
            for name, t in times.items()
        },
    }  # fmt: skip


def _generate(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    """transformers' own batched generation: left padding and a mask."""
    rows = [[*begins(tokenizer), *encode(p, tokenizer)] for p in prompts]
    width, pad = max(map(len, rows)), tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows])
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
    with torch.no_grad():
        out = model.generate(ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, pad_token_id=pad)
    return [tokenizer.decode(row[width:], skip_special_tokens=True) for row in out]
