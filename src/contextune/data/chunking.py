"""Cut a text into pieces of so many tokens at most, at sentence borders where that is possible.

    "Mitochondria make ATP. Ribosomes make proteins.  The nucleus holds DNA."      budget 10
    |- 9 tokens: fits ----| |- together 18: no ----|
    ["Mitochondria make ATP.", "Ribosomes make proteins.", "The nucleus holds DNA."]

The text is tokenised once with offsets, which tells about where a piece must end; then each piece is
encoded alone, as training will, and shortened until it fits.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from contextune.core.encoding import count, encode
from contextune.core.errors import UserError

from .sentences import borders

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_WINDOW = 50_000
"""Characters tokenised at once: offsets are kept as numbers, never a long text's all as objects."""

_SLACK = 4
"""Tokens by which a piece alone may be shorter than the same characters amid the text."""

_SPACE = re.compile(r"\s+")


def chunk(text: str, tokenizer: Tokenizer, budget: int) -> list[str]:
    """Pieces of `text` in order, each of 1 to `budget` tokens when encoded alone; filled greedily.

    A sentence beyond the budget is cut between words, a word beyond it between characters. White
    space at the seams and at the ends of the text is left out; all else is there, once.
    Raises UserError where a single character needs more tokens than the budget.
    """
    if budget < 1:
        raise UserError(f"a chunk of {budget} tokens cannot hold text", "raise max_length, or shorten the context")
    if not text.strip():
        return []
    cutter = _Cutter(text, tokenizer, budget)
    pieces, at = [], 0
    while (at := cutter.skip(at)) < len(text):
        end = cutter.end(at)
        pieces.append(text[at:end].strip())
        at = end
    return pieces


class _Cutter:
    def __init__(self, text: str, tokenizer: Tokenizer, budget: int) -> None:
        self.text, self.tokenizer, self.budget = text, tokenizer, budget
        self.sentences = borders(text)
        self.starts = _starts(text, tokenizer)

    def skip(self, at: int) -> int:
        """The first character from `at` on that is not white space."""
        space = _SPACE.match(self.text, at)
        return space.end() if space else at

    def end(self, at: int) -> int:
        """Where the piece that begins at `at` ends: the last border that fits, of the coarsest kind that does."""
        reach = self._reach(at)
        for ends in self._candidates(at, reach):
            for end in reversed(ends):
                if 1 <= count(self.text[at:end].strip(), self.tokenizer) <= self.budget:
                    return end
        needed = count(self.text[at], self.tokenizer)
        found = f"needs {needed} tokens, the chunk has {self.budget}" if needed else "has no token in this tokenizer"
        raise UserError(f"the character {self.text[at]!r} at position {at} {found}", "raise chunk or max_length")

    def _reach(self, at: int) -> int:
        """No piece from `at` is likely to fit beyond this character."""
        beyond = bisect_left(self.starts, at) + self.budget + _SLACK
        return self.starts[beyond] if beyond < len(self.starts) else len(self.text)

    def _candidates(self, at: int, reach: int) -> Iterator[list[int] | range]:
        yield self.sentences[bisect_right(self.sentences, at) : bisect_right(self.sentences, reach)]
        yield [m.end() for m in _SPACE.finditer(self.text, at, reach)]
        tokens = self.starts[bisect_right(self.starts, at) : bisect_right(self.starts, reach)]
        yield sorted(set(tokens))
        yield range(at + 1, max(at + 2, tokens[0] if tokens else reach + 1))


def _starts(text: str, tokenizer: Tokenizer) -> array[int]:
    """The character at which each token of `text` begins, up to small errors at the windows' seams."""
    starts, at = array("Q"), 0
    while at < len(text):
        space = _SPACE.search(text, at + _WINDOW, at + 2 * _WINDOW)
        end = space.start() if space else min(len(text), at + 2 * _WINDOW)
        starts.extend(at + offset for offset in _offsets(text[at:end], tokenizer))
        at = end
    return starts


def _offsets(text: str, tokenizer: Tokenizer) -> Iterator[int]:
    if getattr(tokenizer, "is_fast", False):
        found = tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
        )
        yield from (begin for begin, _ in found["offset_mapping"])
        return

    @lru_cache(maxsize=100_000)
    def tokens_of(word: str) -> int:
        return len(encode(word, tokenizer))

    for word in re.finditer(r"\s*\S+", text):  # no offsets: a word's tokens spread evenly over it
        tokens, length = tokens_of(word[0]), len(word[0])
        yield from (word.start() + length * i // tokens for i in range(tokens))
