"""How many tokens a model computes at once when it scores, writes or embeds, and what happens where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from contextune.core import memory
from contextune.core.options import LONGEST
from contextune.core.progress import say_once

AtOnce = Annotated[int, Field(gt=0, le=LONGEST)] | Literal["auto"]
"""Tokens at most, or what free memory holds."""
MOST = 131_072
"""Tokens at once on a GPU, where memory holds them."""
SHARE = 0.5
"""Of free memory: the rest is for what kernels and allocators take."""

T = TypeVar("T")
R = TypeVar("R")


def tokens_of(asked: AtOnce, model: Any, on_cpu: int, logits: bool = False) -> int:
    """The number that `auto` stands for: a power of two; at most `on_cpu` on a CPU, where more is no faster.

    `logits`: those of every token are made.
    """
    if asked != "auto":
        return asked
    most = MOST if model.device.type == "cuda" else on_cpu
    fits = int(memory.free() * SHARE / max(1, token_bytes(model, logits)))
    return min(most, 1 << max(4, fits.bit_length() - 1))


def token_bytes(model: Any, logits: bool = False) -> int:
    """Bytes of a token without gradients: keys and values of all layers, activations of one, its logits twice."""
    config, size = model.config.get_text_config(), next(model.parameters()).element_size()
    width = int(getattr(config, "hidden_size", 0) or 0)
    heads = int(getattr(config, "num_attention_heads", 0) or 1)
    kept = int(getattr(config, "num_key_value_heads", 0) or heads)
    depth = int(getattr(config, "head_dim", 0) or width // heads)
    wide = int(getattr(config, "intermediate_size", 0) or 4 * width)
    cache = 2 * int(getattr(config, "num_hidden_layers", 0) or 1) * kept * depth
    return int(size) * (cache + 8 * width + 3 * wide + (2 * int(config.vocab_size) if logits else 0))


def halves(batch: list[T]) -> list[list[T]]:
    """Two of them, or what cannot be divided."""
    middle = len(batch) // 2
    return [part for part in (batch[:middle], batch[middle:]) if part]


class Room:
    """Tokens at once, fewer after each time that memory ran out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def results(
        self,
        batch: list[T],
        go: Callable[[list[T]], R],
        area: Callable[[list[T]], int],
        split: Callable[[list[T]], list[list[T]]] = halves,
    ) -> Iterator[tuple[list[T], R]]:
        """(batch, what `go` makes of it); of its parts where memory runs out. `area`: tokens that a batch holds.

        Raises what was raised where the batch cannot be divided.
        """
        try:
            found = go(batch)
        except (RuntimeError, MemoryError) as e:
            parts = split(batch) if memory.exhausted(e) else []
            if len(parts) < 2:
                raise
        else:
            yield batch, found
            return
        memory.release()
        held = area(batch)
        self.tokens = max(1, min(self.tokens, held) // 2)
        say_once(f"memory ran out with {held:,} tokens at once; done again with {self.tokens:,}, as all that follows")
        for part in parts:
            yield from self.results(part, go, area, split)
