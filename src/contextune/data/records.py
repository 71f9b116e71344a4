"""From documents to records: chunks of a text, a pair, a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contextune.core.encoding import count, document_end, opens
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment

from . import chat
from .chunking import chunk
from .documents import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from contextune.data.options import Source

SMALLEST = 8
"""Tokens that a chunk must have room for; the same floor as the recipe's."""


@dataclass(frozen=True, slots=True)
class Records:
    records: tuple[Record, ...]
    overlong: tuple[str, ...] = ()
    """Ids of the rows left out because their target does not fit (the source says `overlong: drop`)."""

    @property
    def dropped(self) -> int:
        return len(self.overlong)


def specials(tokenizer: Tokenizer) -> int:
    """Tokens that rendering adds to a record: what the tokenizer puts first, and the end of text."""
    return len(opens(tokenizer)) + (document_end(tokenizer) is not None)


def records(documents: Iterable[Document], source: Source, tokenizer: Tokenizer, budget: int) -> Records:
    """The records of `documents` in order.

    `budget` is the number of tokens that a record's targets may have together, specials not counted.
    A text is cut in chunks named "DOCUMENT#0", "DOCUMENT#1" …, of which only the last one ends the text.

    Raises UserError where a target does not fit and the source does not say `overlong: drop`, where none
    fits, where a target has no token, or where the budget is too small.
    """
    size = _chunk_size(source, budget)
    made = [r for d in documents for r in _of(d, source, tokenizer, size)]
    if size is not None:  # chunk() has seen to it
        return Records(tuple(made))
    lengths = [(r, _length(r, tokenizer)) for r in made]
    long = [(r, n) for r, n in lengths if n > budget]
    if long and (source.overlong == "error" or len(long) == len(made)):
        _refuse(long, len(made), budget)
    return Records(tuple(r for r, n in lengths if n <= budget), tuple(r.id for r, _ in long))


def _chunk_size(source: Source, budget: int) -> int | None:
    """Tokens a chunk at most; None where records are not cut."""
    if budget < 1:
        raise UserError(f"max_length leaves {budget} tokens to learn", "raise train.max_length")
    if source.world is not None or source.kind != "text" or source.chunk == "none":
        return None
    size = budget if source.chunk == "auto" else int(source.chunk)
    if size > budget:
        raise UserError(
            f"chunk is {size} tokens, but max_length leaves {budget} beside the longest context and the specials",
            f"set chunk to {budget} or less, or raise train.max_length",
        )
    if size < SMALLEST:
        raise UserError(
            f"max_length leaves {size} tokens of text beside the longest context and the specials; "
            f"at least {SMALLEST} are needed",
            "raise train.max_length, or shorten the contexts",
        )
    return size


def _of(document: Document, source: Source, tokenizer: Tokenizer, size: int | None) -> Iterator[Record]:
    if document.records:
        yield from document.records
    elif document.messages:
        yield _record(document, chat.segments(document.messages, tokenizer, document.origin), ends=False)
    elif document.completion:
        target = Segment(source.separator + document.completion, "target")
        context = (Segment(document.prompt, "context"),) if document.prompt else ()
        yield _record(document, (*context, target))
    elif size is None:
        yield _record(document, (Segment(document.text, "target"),))
    else:
        yield from _chunks(document, tokenizer, size)


def _record(document: Document, segments: tuple[Segment, ...], name: str = "", ends: bool = True) -> Record:
    return Record(name or document.id, segments, document.id, ends, document.origin, document.fields)


def _chunks(document: Document, tokenizer: Tokenizer, size: int) -> Iterator[Record]:
    try:
        pieces = chunk(document.text, tokenizer, size)
    except UserError as e:
        raise UserError(f"{document.origin}: {e.message}", e.hint) from None
    for i, piece in enumerate(pieces):
        yield _record(document, (Segment(piece, "target"),), f"{document.id}#{i}", i == len(pieces) - 1)


def _length(record: Record, tokenizer: Tokenizer) -> int:
    """Tokens of a record's targets together."""
    targets = (s for s in record.segments if s.role == "target")
    length = sum(len(s.ids) if s.ids is not None else count(s.text, tokenizer) for s in targets)
    if not length:
        raise UserError(f"{record.origin or record.id}: its target has no token in this tokenizer", "remove the row")
    return length


def _refuse(long: list[tuple[Record, int]], total: int, budget: int) -> None:
    record, length = long[0]
    more = f", and so do {len(long) - 1} more of {total} rows" if len(long) > 1 else ""
    drop = "; overlong: drop would leave nothing" if len(long) == total else ", or set the source's overlong: drop"
    raise UserError(
        f"{record.origin or record.id}: its target has {length} tokens where {budget} fit{more}",
        f"raise train.max_length{drop}",
    )
