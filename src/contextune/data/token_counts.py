"""Tokens of records, counted in batches that the tokenizer spreads over the cores."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from contextune.core.sequence import Record, Segment, Tokenizer

BATCH = 1000
"""Segments tokenised in one call."""


@dataclass(frozen=True, slots=True)
class Length:
    """Tokens of a record's own segments, without specials; its first token, and whether that is a target."""

    context: int
    target: int
    first: int
    opens_with_target: bool


def lengths(records: Seq[Record], tokenizer: Tokenizer) -> list[Length]:
    found: list[Length] = []
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        ids = iter(_encode_all([s for r in part for s in r.segments], tokenizer))
        for record in part:
            pieces = [(s.role, next(ids)) for s in record.segments]
            context, target = (sum(len(i) for role, i in pieces if role == r) for r in ("context", "target"))
            first = next((i[0] for _, i in pieces if i), -1)
            found.append(Length(context, target, first, pieces[0][0] == "target"))
    return found


def _encode_all(segments: list[Segment], tokenizer: Tokenizer) -> Iterator[Seq[int]]:
    texts = [s.text for s in segments if s.ids is None]
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else ())
    yield from (s.ids if s.ids is not None else next(ids) for s in segments)
