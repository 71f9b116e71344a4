"""Held-out texts: how likely the model finds them, read in windows.

Windows as in lm-evaluation-harness (loglikelihood_rolling): each predicts as many new tokens as the model reads, the
first after BOS (else EOS), a later one after the last token before it; the last window reaches back so far that it is
full. The stride is thus the window; every token is predicted once. A BOS that the tokenizer would put before the text
is given, never predicted (the harness predicts it, unless told add_bos_token=False).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from contextune.core.asking import pair, prefix_token, window
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.items import Item
from contextune.core.sequence import Tokenizer
from contextune.models.at_once import AtOnce
from contextune.models.likelihood import LikelihoodRow, log_likelihoods


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one text: log-likelihood in nats, predicted tokens, UTF-8 bytes."""

    sum: float
    tokens: int
    bytes: int


def score_texts(
    model: Any,
    tokenizer: Tokenizer,
    items: Seq[Item],
    tokens: AtOnce = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> list[Likelihood]:
    """One result an item: its answer after its prompt, which is mostly empty."""
    texts, rows = rows_of(model, tokenizer, items)
    flat = [row for of_one in rows for row in of_one]
    share = len(items) / max(len(flat), 1)
    sums = iter(log_likelihoods(model, flat, tokens, lambda done: progress(int(done * share))))
    return [
        Likelihood(sum(next(sums) for _ in of_one), len(ids), len(item.gold.encode()))
        for item, of_one, (_, ids) in zip(items, rows, texts, strict=True)
    ]


def rows_of(
    model: Any, tokenizer: Tokenizer, items: Seq[Item]
) -> tuple[list[tuple[list[int], list[int]]], list[list[LikelihoodRow]]]:
    """Of each item its ids (what is given, what is scored), and the rows that are scored."""
    longest = window(model, tokenizer)
    texts = [_encoded(item, tokenizer) for item in items]
    return texts, [list(windows(ids, given, longest)) for given, ids in texts]


def _encoded(item: Item, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    text = item.gold
    given, ids = (
        pair(item.prompt, text, tokenizer) if item.prompt else ([prefix_token(tokenizer)], encode(text, tokenizer))
    )
    if not ids:
        raise UserError(f"item {item.id}: the text is empty", "remove it")
    return given, ids


def windows(ids: Seq[int], given: Seq[int], longest: int) -> Iterator[LikelihoodRow]:
    """Rows that together predict every one of `ids` once; no row reads more than `longest` tokens.

    A prompt too long to leave room for the text, or for half a window of it, loses its beginning.
    """
    room = min(len(ids), max(longest // 2, 1))
    prompt = tuple(given)[-max(longest + 1 - room, 1) :]
    text = prompt + tuple(ids)
    start, end = len(prompt), min(len(text), longest + 1)
    while True:
        yield LikelihoodRow(text[max(0, end - longest - 1) : start], text[start:end])
        if end == len(text):
            return
        start, end = end, min(len(text), end + longest)
