"""Tokens of records, counted in batches that the tokenizer spreads over the cores."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from contextune.core.encoding import encode_all, joins
from contextune.core.sequence import Record, Tokenizer, at_seams, encode_segments

BATCH = 1000
"""Segments tokenised in one call."""


@dataclass(frozen=True, slots=True)
class Length:
    """Tokens of a record's own segments, without specials, and whether it begins with a target."""

    context: int
    target: int
    opens_with_target: bool


def lengths(records: Seq[Record], tokenizer: Tokenizer) -> list[Length]:
    found: list[Length] = []
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        alone = [not joins(tokenizer) and _plain(r) for r in part]
        texts = [text for r, a in zip(part, alone, strict=True) if a for text in at_seams(r.segments, tokenizer)]
        ids = iter(encode_all(texts, tokenizer))
        for record, plain in zip(part, alone, strict=True):
            pieces = (
                [(s.role, next(ids)) for s in record.segments] if plain else encode_segments(record.segments, tokenizer)
            )
            context, target = (sum(len(i) for role, i in pieces if role == r) for r in ("context", "target"))
            found.append(Length(context, target, record.segments[0].role == "target"))
    return found


def _plain(record: Record) -> bool:
    return all(s.ids is None and not s.markup for s in record.segments)
