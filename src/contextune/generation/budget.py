"""What requests will cost, and what a run may spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contextune.core.encoding import encode

from .protocol import Cost, Request

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer


def counted(text: str, tokenizer: Tokenizer | None) -> int:
    """Tokens of a text; without a tokenizer a third of its bytes, which is more than most texts have."""
    return len(encode(text, tokenizer)) if tokenizer is not None else -(-len(text.encode("utf-8", "replace")) // 3)


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Of a list of requests: tokens to read, tokens to write at most, and their price at most (None: no prices)."""

    requests: int
    read: int
    wrote: int
    price: float | None = None

    @classmethod
    def of(
        cls, requests: Sequence[Request], tokenizer: Tokenizer | None, prices: tuple[float, float] | None
    ) -> CostEstimate:
        read = sum(counted(r.prompt, tokenizer) for r in requests)
        wrote = sum(r.max_tokens for r in requests)
        price = (read * prices[0] + wrote * prices[1]) / 1e6 if prices is not None else None
        return cls(len(requests), read, wrote, price)

    def __str__(self) -> str:
        price = "" if self.price is None else f"; price at most {self.price:,.2f}"
        return f"{self.requests:,} requests, about {self.read:,} tokens read, {self.wrote:,} written at most{price}"


class Budget:
    """Requests and tokens that may still be used. What is under way counts as large as it may become."""

    def __init__(self, requests: int | None = None, tokens: int | None = None) -> None:
        self.most_requests, self.most_tokens = requests, tokens
        self.requests = self.tokens = 0

    def refuses(self, tokens: int) -> str:
        """Why a request of at most that many tokens, read and written, may not be sent; empty where it may."""
        if self.most_requests is not None and self.requests >= self.most_requests:
            return f"the budget of {self.most_requests:,} requests is spent"
        if self.most_tokens is not None and self.tokens + tokens > self.most_tokens:
            return f"the budget of {self.most_tokens:,} tokens is spent ({self.tokens:,} used, up to {tokens:,} needed)"
        return ""

    def reserve(self, tokens: int) -> None:
        self.requests, self.tokens = self.requests + 1, self.tokens + tokens

    def settle(self, reserved: int, cost: Cost) -> None:
        """Puts what was used in the place of what was reserved; unknown tokens count as reserved."""
        if cost.read is not None and cost.wrote is not None:
            self.tokens += cost.read + cost.wrote - reserved
