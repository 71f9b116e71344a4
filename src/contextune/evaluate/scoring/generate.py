"""Greedy generation in batches. The model's own sampling settings (temperature, repetition penalty …) play no part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from contextune.core.asking import asked_ids, prefix_token, window
from contextune.core.encoding import decode
from contextune.core.errors import UserError, first_line
from contextune.core.items import Turns
from contextune.core.progress import say_once
from contextune.core.sequence import Tokenizer
from contextune.models import paged
from contextune.models.at_once import AtOnce, Room, tokens_of
from contextune.models.decoding import WAYS, Decoding, decoding_of, inputs
from contextune.models.dropping import dropping
from contextune.models.ends import ends_of, writing
from contextune.models.likelihood import TOKENS, evaluating


def generate(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Seq[str | Turns],
    *,
    max_tokens: int = 32,
    stop: Seq[str] = ("\n",),
    tokens: AtOnce = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """What the model writes after each prompt, up to the first of `stop` (left out), EOS, or `max_tokens`.

    Prompts are sorted by length and padded on the left, where the model allows it (models/decoding.py); one
    too long for the model loses its beginning. A prompt is a text, or a conversation that the assistant continues.
    """
    ids, _ = fitted(model, tokenizer, prompts, max_tokens)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    texts, done = [""] * len(ids), 0
    with evaluating(model), writing(model, tokenizer) as pad:
        if paged.allowed(model, pad):
            for i, text in _in_pages(model, tokenizer, ids, pad, max_tokens, stop):
                texts[i], done = text, done + 1
                order.remove(i)
                progress(done)
        way = decoding_of(model, pad) if order else Decoding()
        room = Room(tokens_of(tokens, model, TOKENS) if way.batch else 1)

        def write(batch: list[int]) -> list[str]:
            return _write(model, tokenizer, [ids[i] for i in batch], pad, max_tokens, stop, way)

        def area(batch: list[int]) -> int:
            return len(batch) * (max(len(ids[i]) for i in batch) + max_tokens)

        for batch in batches(order, ids, max_tokens, room):
            for part, written in room.results(batch, write, area):
                for i, text in zip(part, written, strict=True):
                    texts[i] = text
                done += len(part)
                progress(done)
    return texts


def fitted(
    model: Any, tokenizer: Tokenizer, prompts: Seq[str | Turns], max_tokens: int
) -> tuple[list[list[int]], list[int]]:
    """Ids of each prompt, and how many it had to lose at its beginning so that `max_tokens` fit behind it."""
    room = window(model, tokenizer) - max_tokens
    if room < 1:
        raise UserError(
            f"max_tokens is {max_tokens}, the model reads {room + max_tokens} tokens in all", "lower max_tokens"
        )
    ids = [asked_ids(p, tokenizer) or [prefix_token(tokenizer)] for p in prompts]
    return [i[-room:] for i in ids], [max(0, len(i) - room) for i in ids]


def batches(order: list[int], ids: list[list[int]], more: int, room: Room) -> Iterator[list[int]]:
    """Prompts that are written behind together; `more` tokens each at most."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * (len(ids[batch[0]]) + more) > room.tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _in_pages(
    model: Any, tokenizer: Tokenizer, ids: list[list[int]], pad: int, max_tokens: int, stop: Seq[str]
) -> Iterator[tuple[int, str]]:
    """(index, text) by continuous batching; those are missing that it failed at."""
    reach = _reach(stop)

    def stopped(_: int, written: list[int]) -> bool:
        said = decode(written[-reach:], tokenizer)
        return any(s in said for s in stop)

    ends = ends_of(model, tokenizer)
    try:
        for i, written in paged.write(model, ids, [max_tokens] * len(ids), ends, pad, stopped if stop else None):
            yield i, _until(decode(written, tokenizer), stop)
    except (RuntimeError, MemoryError) as e:
        say_once(f"{first_line(e)}; the rest is written in batches")


def _write(
    model: Any, tokenizer: Tokenizer, ids: list[list[int]], pad: int, max_tokens: int, stop: Seq[str], way: Decoding
) -> list[str]:
    width = max(map(len, ids))
    stopping = [_AtText(tokenizer, stop, width)] if stop else []
    out = model.generate(
        **inputs(ids, pad, device=model.device),
        max_new_tokens=max_tokens,
        use_cache=way.cache,
        stopping_criteria=StoppingCriteriaList(stopping),
        custom_generate=dropping(pad, stopping) if way == WAYS[0] else None,
    )
    return [_until(decode(row, tokenizer), stop) for row in out[:, width:].tolist()]


def _until(text: str, stop: Seq[str]) -> str:
    return text[: min((at for s in stop if (at := text.find(s)) >= 0), default=len(text))]


def _reach(stop: Seq[str]) -> int:
    """Tokens in which a stop text stands: one of a byte-level vocabulary may hold a quarter of a character."""
    return 4 * max(map(len, stop), default=0) + 4


class _AtText(StoppingCriteria):
    """Done, row by row, once a stop text stands in what was written."""

    def __init__(self, tokenizer: Tokenizer, stop: Seq[str], start: int) -> None:
        self.tokenizer, self.stop, self.start = tokenizer, stop, start
        self.reach = _reach(stop)
        self.done: list[bool] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self.done = self.done or [False] * len(input_ids)
        for i, row in enumerate(input_ids[:, self.start :][:, -self.reach :].tolist()):
            if not self.done[i]:
                text = decode(row, self.tokenizer)
                self.done[i] = any(s in text for s in self.stop)
        return torch.tensor(self.done, device=input_ids.device)

    def keep(self, left: Seq[int]) -> None:
        self.done = [self.done[row] for row in left]
