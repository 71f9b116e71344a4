"""Multiple choice: the log-likelihood of each option after the prompt.

Encoding and truncation follow lm-evaluation-harness (0.4.13, causal models), so that both give the same numbers. Byte
counts leave out the space before an option, which the harness holds as a delimiter; dividing by them gives its
`acc_bytes` (and its `acc_norm`, which counts characters, wherever options are ASCII).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from contextune.core.asking import asked_pair, window
from contextune.core.errors import UserError
from contextune.core.items import Item, Turns
from contextune.core.sequence import Tokenizer
from contextune.models.at_once import AtOnce
from contextune.models.likelihood import LikelihoodRow, log_likelihoods


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """Of each option: log-likelihood in nats, tokens, bytes; and how many tokens the prompt lost at most."""

    sums: tuple[float, ...]
    tokens: tuple[int, ...]
    bytes: tuple[int, ...]
    cut: int = 0


def score_choices(
    model: Any,
    tokenizer: Tokenizer,
    items: Seq[Item],
    tokens: AtOnce = "auto",
    progress: Callable[[int], None] = lambda done: None,
    asked: Callable[[Item], str | Turns] = lambda item: item.prompt,
) -> list[ChoiceScores]:
    """One result an item; `asked` gives what precedes its options, a text or a conversation.

    A prompt that is too long loses its beginning; `tokens` bounds what is computed at once.
    Raises UserError where an option has no token of its own, or is longer than the model reads.
    """
    made = rows_of(model, tokenizer, items, asked)
    flat = [row for options in made for row, _ in options]
    share = len(items) / max(len(flat), 1)
    sums = iter(log_likelihoods(model, flat, tokens, lambda done: progress(int(done * share))))
    return [
        ChoiceScores(
            sums=tuple(next(sums) for _ in options),
            tokens=tuple(len(row.scored) for row, _ in options),
            bytes=tuple(len(option.lstrip().encode()) for option in item.options),
            cut=max(cut for _, cut in options),
        )
        for item, options in zip(items, made, strict=True)
    ]


def rows_of(
    model: Any, tokenizer: Tokenizer, items: Seq[Item], asked: Callable[[Item], str | Turns]
) -> list[list[tuple[LikelihoodRow, int]]]:
    """Of each item and option: the row that is scored, and how many of the prompt's tokens it had to leave out."""
    longest = window(model, tokenizer)
    return [[_row(item, asked(item), option, tokenizer, longest) for option in item.options] for item in items]


def _row(item: Item, asked: str | Turns, option: str, tokenizer: Tokenizer, longest: int) -> tuple[LikelihoodRow, int]:
    """The row, and how many of the prompt's tokens it had to leave out."""
    given, scored = asked_pair(asked, option, tokenizer)
    if not scored:
        raise UserError(f"item {item.id}: the option {option!r} is no token of its own", "begin options with a space")
    if len(scored) > longest:
        raise UserError(
            f"item {item.id}: an option has {len(scored)} tokens, the model reads {longest}", "shorten the option"
        )
    room = longest + 1 - len(scored)  # the last token is predicted, never read
    return LikelihoodRow(tuple(given[-room:]), tuple(scored)), max(0, len(given) - room)
