"""Token accounting: what goes in, what bears loss, what is only read, what is left out; by arm, stage and source.

Each record is tokenised once, whatever the number of arms; contexts are drawn as in the first epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .sequence import Moment, Record, Segment, Tokenizer, begins, encode, opens

if TYPE_CHECKING:
    from .prepare import Prepared, Ready

BATCH = 1000
"""Segments tokenised in one call, which the tokenizer spreads over the cores."""


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


def account(prepared: Prepared, arm: str, index: int, ready: Ready) -> list[dict[str, Any]]:
    """One row for each source of a stage and for what was inferred from it; counts are of one pass over its records."""
    rows = {name: _row(prepared, arm, index, name) for name in dict.fromkeys((*ready.stage.sources, *ready.origins))}
    if ready.augmented is not None and ready.augmented.records:  # a source that only its inferences are learned from
        rows = {name: row for name, row in rows.items() if name in set(ready.origins)}
    at = Moment(prepared.recipe.seeds[0], 0)
    for record, name, own in zip(ready.records, ready.origins, _known(prepared, ready), strict=True):
        drawn = ready.context.before(record, at)
        learned, length = record, own
        if drawn.record is not None:  # learned in the record's place
            learned, length = drawn.record, lengths([drawn.record], prepared.tokenizer)[0]
        before = [(s.role, _count(s, prepared.tokenizer)) for s in drawn.segments]
        opening = _opening(length, drawn.segments, prepared.tokenizer)
        trained = length.target + learned.ends + sum(n for role, n in before if role == "target")
        whole = opening + length.context + length.target + learned.ends + sum(n for _, n in before)
        row = rows[name]
        row["rows"] += 1
        row["tokens_in"] += own.context + own.target
        row["trained"] += trained
        row["cut"] += (cut := max(0, whole - ready.train.max_length))
        row["context"] += whole - cut - trained
    plan = ready.plan(0)
    return [{**row, "updates": plan.updates, "sequences": plan.draws} for row in rows.values()]


def _row(prepared: Prepared, arm: str, index: int, source: str) -> dict[str, Any]:
    """A row of zeros; what was inferred ("source+operation") was never in a file."""
    read = source in prepared.documents
    return {
        "arm": arm,
        "stage": index,
        "source": source,
        "rows": 0,
        "tokens_in": 0,
        "trained": 0,
        "context": 0,
        "cut": 0,
        "dropped": prepared.records[source].dropped if read else 0,
        "duplicated": prepared.documents[source].duplicates if read else 0,
    }


def _known(prepared: Prepared, ready: Ready) -> list[Length]:
    """The lengths of a stage's own records."""
    if ready.augmented is not None:
        return lengths(ready.records, prepared.tokenizer)
    return [
        length
        for name in ready.stage.sources
        for record, length in zip(prepared.records[name].records, prepared.lengths(name), strict=True)
        if ready.stage.context.trains(record)
    ]


def _opening(length: Length, drawn: Seq[Segment], tokenizer: Tokenizer) -> int:
    """Tokens that rendering puts first; see `sequence.render`."""
    usual = begins(tokenizer)
    if not drawn and usual and length.first == usual[0]:
        return 0
    target = drawn[0].role == "target" if drawn else length.opens_with_target
    return len(opens(tokenizer)) if target else len(usual)


def _count(segment: Segment, tokenizer: Tokenizer) -> int:
    return len(segment.ids) if segment.ids is not None else _size(segment.text, tokenizer)


@lru_cache(maxsize=4096)
def _size(text: str, tokenizer: Tokenizer) -> int:
    """Drawn contexts repeat."""
    return len(encode(text, tokenizer))
