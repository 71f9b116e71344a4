"""Token accounting: what goes in, what is trained on, what is only read, what is left out; by arm, stage and source.

Each record is tokenised once, whatever the number of arms; contexts are drawn as in the first epoch.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from functools import lru_cache
from typing import Any, Literal

from contextune.core.encoding import count, joins
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer, at_seams, hold_to_promise, lay_out
from contextune.core.special_tokens import begins, opens
from contextune.data.token_counts import Length, lengths

from .prepare import Data, Prepared, PreparedStage


def accounting(prepared: Prepared) -> list[dict[str, Any]]:
    """Tokens by arm, stage and source, each record counted once with the context of the first epoch.

    Raises UserError where a policy drew a longer context than it promised.
    """
    if "accounting" not in prepared.kept:
        prepared.kept["accounting"] = [
            row
            for arm, stages in prepared.arms.items()
            for i, stage in enumerate(stages)
            for row in account(prepared, stage, arm, i)
        ]
    found: list[dict[str, Any]] = prepared.kept["accounting"]
    return found


def longest(prepared: Prepared, arm: str, index: int) -> int:
    """Tokens of the longest sequence of a stage, in the first epoch."""
    accounting(prepared)
    return int(prepared.kept["longest", arm, index])


def account(data: Data, ready: PreparedStage, arm: str, index: int) -> list[dict[str, Any]]:
    """One row for each source of a stage and for what was inferred from it; counts are of one pass over its records.

    But: `reached` are the rows that are trained on at least once, `learned` the target tokens that are trained on in
    all updates, those of a row that comes twice counted twice (by the order of the first seed).
    """
    rows = {name: _row(data, arm, index, name) for name in dict.fromkeys((*ready.stage.sources, *ready.origins))}
    if ready.augmented is not None and ready.augmented.records:  # a source that only its inferences are learned from
        rows = {name: row for name, row in rows.items() if name in set(ready.origins)}
    key = DrawKey(data.recipe.seeds[0], 0)
    plan = ready.plan(data.recipe.seeds[0])
    most = 0
    for times, record, name, own in zip(plan.times(), ready.records, ready.origins, _known(data, ready), strict=True):
        drawn = ready.context.draw(record, key)
        learned, length = record, own
        if drawn.record is not None:  # learned in the record's place
            learned, length = drawn.record, lengths([drawn.record], data.tokenizer)[0]
        opening, before, own_sizes = _measure(drawn.segments, learned, length, data.tokenizer)
        hold_to_promise(sum(n for _, n in before), drawn.limit, record.id)
        trained = learned.ends + sum(n for role, n in (*before, *own_sizes) if role == "target")
        whole = opening + learned.ends + sum(n for _, n in (*before, *own_sizes))
        row = rows[name]
        row["rows"] += 1
        row["tokens_in"] += own.context + own.target
        row["trained"] += trained
        row["cut"] += (cut := max(0, whole - ready.train.max_length))
        row["context"] += whole - cut - trained
        row["reached"] += times > 0
        row["learned"] += trained * times
        most = max(most, whole - cut)
    data.kept["longest", arm, index] = most
    return [{**row, "updates": plan.updates, "sequences": plan.draws} for row in rows.values()]


def _row(data: Data, arm: str, index: int, source: str) -> dict[str, Any]:
    """A row of zeros; what was inferred ("source+operation") was never in a file."""
    read = source in data.documents
    return {
        "arm": arm,
        "stage": index,
        "source": source,
        "rows": 0,
        "tokens_in": 0,
        "trained": 0,
        "context": 0,
        "cut": 0,
        "reached": 0,
        "learned": 0,
        "dropped": data.records[source].dropped if read else 0,
        "duplicated": data.documents[source].duplicates if read else 0,
    }


def _known(data: Data, ready: PreparedStage) -> list[Length]:
    """The lengths of a stage's own records."""
    if ready.augmented is not None:
        return lengths(ready.records, data.tokenizer)
    return [
        length
        for name in ready.stage.sources
        for record, length in zip(data.records[name].records, data.lengths(name), strict=True)
        if ready.stage.context.is_target(record)
    ]


Sizes = list[tuple[Literal["context", "target"], int]]


def _measure(drawn: Seq[Segment], learned: Record, length: Length, tokenizer: Tokenizer) -> tuple[int, Sizes, Sizes]:
    """Tokens that rendering puts first, then (role, tokens) of the drawn segments and of the record's own.

    Where a segment's ids do not depend on what precedes it, the record's are those counted before.
    """
    if joins(tokenizer) or any(s.markup for s in learned.segments):
        bos, pieces = lay_out((*drawn, *learned.segments), tokenizer, len(drawn))
        sizes = [(role, len(ids)) for role, ids in pieces]
        return len(bos), sizes[: len(drawn)], sizes[len(drawn) :]
    target = drawn[0].role == "target" if drawn else length.opens_with_target
    texts = at_seams(tuple(drawn), tokenizer)
    before = [
        (s.role, len(s.ids) if s.ids is not None else _size(t, tokenizer)) for s, t in zip(drawn, texts, strict=True)
    ]
    own: Sizes = [("context", length.context), ("target", length.target)]
    return len(opens(tokenizer) if target else begins(tokenizer)), before, own


@lru_cache(maxsize=4096)
def _size(text: str, tokenizer: Tokenizer) -> int:
    """Drawn contexts repeat."""
    return count(text, tokenizer)
