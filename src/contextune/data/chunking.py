"""Cut a text into pieces of so many tokens at most, at sentence borders where that is possible.

    "Mitochondria make ATP. Ribosomes make proteins.  The nucleus holds DNA."      budget 10
    |- 9 tokens: fits ----| |- together 18: no ----|
    ["Mitochondria make ATP.", "Ribosomes make proteins.", "The nucleus holds DNA."]

The text is tokenised once with offsets, which tells about where a piece must end; then each piece is
encoded alone, as training will, and shortened until it fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from contextune.core.errors import UserError

from .sentences import Borders
from .word_tokens import tokens_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_SLACK = 4
"""Tokens by which a piece alone may be shorter than the same characters amid the text."""

_SPACE = re.compile(r"\s+")


def chunk(text: str, tokenizer: Tokenizer, budget: int) -> list[str]:
    """Pieces of `text` in order, each of 1 to `budget` tokens when encoded alone; filled greedily.

    A sentence beyond the budget is cut between words, a word beyond it between characters. White
    space at the seams and at the ends of the text is left out; all else is there, once.
    Raises UserError where a single character needs more tokens than the budget.
    """
    return [text[begin:end] for begin, end, _ in spans(text, tokenizer, budget)]


def spans(text: str, tokenizer: Tokenizer, budget: int) -> list[tuple[int, int, int]]:
    """Where each piece of `chunk` begins and ends, in characters, and its tokens."""
    if budget < 1:
        raise UserError(f"a chunk of {budget} tokens cannot hold text", "raise max_length, or shorten the context")
    if not text.strip():
        return []
    cutter = _Cutter(text, tokenizer, budget)
    pieces, at = [], 0
    while (at := cutter.skip(at)) < len(text):
        end, tokens = cutter.end(at)
        pieces.append((at, cutter.stripped(at, end), tokens))
        at = end
    return pieces


class _Cutter:
    def __init__(self, text: str, tokenizer: Tokenizer, budget: int) -> None:
        self.text, self.budget = text, budget
        self.sentences = Borders(text)
        self.tokens = tokens_of(text, tokenizer)

    def skip(self, at: int) -> int:
        """The first character from `at` on that is not white space."""
        space = _SPACE.match(self.text, at)
        return space.end() if space else at

    def end(self, at: int) -> tuple[int, int]:
        """Where the piece that begins at `at` ends, the last border that fits, of the coarsest kind that does; and its
        tokens."""
        reach = self._reach(at)
        for ends in self._candidates(at, reach):
            for end in ends:
                if 1 <= (tokens := self._count(at, end)) <= self.budget:
                    return end, tokens
        needed = self.tokens.count(at, at + 1)
        found = f"needs {needed} tokens, the chunk has {self.budget}" if needed else "has no token in this tokenizer"
        raise UserError(f"the character {self.text[at]!r} at position {at} {found}", "raise chunk or max_length")

    def _count(self, at: int, end: int) -> int:
        return self.tokens.count(at, self.stripped(at, end))

    def stripped(self, at: int, end: int) -> int:
        """The end of a piece without the white space there."""
        return at + len(self.text[at:end].rstrip())

    def _reach(self, at: int) -> int:
        """No piece from `at` is likely to fit beyond this character."""
        return self.tokens.reach(at, self.budget + _SLACK)

    def _candidates(self, at: int, reach: int) -> Iterator[Iterable[int]]:
        """Borders by kind, the coarsest first, of each the last one first."""
        yield self.sentences.back(at, reach)
        yield reversed([m.end() for m in _SPACE.finditer(self.text, at, reach)])
        tokens = self.tokens.between(at, reach)
        yield sorted(set(tokens), reverse=True)
        yield reversed(range(at + 1, max(at + 2, tokens[0] if tokens else reach + 1)))
