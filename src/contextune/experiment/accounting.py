"""Token accounting: what goes in, what is trained on, what is only read, what is left out; by arm, stage and source.

Each record is tokenised once, whatever the number of arms; contexts are drawn as in the first epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Seq
from dataclasses import astuple
from functools import lru_cache, partial
from typing import Any, Literal

from contextune.core import cache
from contextune.core.encoding import count, joins
from contextune.core.files import digest
from contextune.core.lazy import Lazy, chained
from contextune.core.parallel import mapped
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer, at_seams, hold_to_promise, lay_out
from contextune.core.special_tokens import begins, opens
from contextune.data.corpus import hash_of
from contextune.data.token_counts import Length, lengths

from .prepare import Data, Prepared, PreparedStage
from .prepare.contexts import draws_from_options

BLOCK = 4096
"""Records of large sources that one process counts at a time."""
FORMAT = 1
"""Raised when something else is counted."""


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
    key = _decided(data, ready)
    made = partial(_count, data, ready)
    found = made() if key is None else cache.remembered("accounting", key, made)
    data.kept["longest", arm, index] = found["longest"]
    return [{"arm": arm, "stage": index, **row} for row in found["rows"]]


def _decided(data: Data, ready: PreparedStage) -> str | None:
    """Hash of all that decides the counts of a stage over large sources; None where they are counted anew each time."""
    context, names = ready.stage.context, ready.stage.sources
    if not all(data.large(n) for n in names) or not draws_from_options(data, ready.stage):
        return None
    sources = [(n, data.digest(n), data.documents[n].fingerprint, data.records[n].dropped) for n in names]
    train = ready.train.model_dump(mode="json", include={"max_length", "share"})
    plan = astuple(ready.plan(data.recipe.seeds[0]))
    located = context.located(data.base)
    return digest([FORMAT, sources, hash_of(data.tokenizer), context.full(), located.content(), train, plan])


def _count(data: Data, ready: PreparedStage) -> dict[str, Any]:
    """The rows of `account`, and the tokens of the longest sequence."""
    rows = {name: _row(data, name) for name in dict.fromkeys((*ready.stage.sources, *ready.origins))}
    if ready.augmented is not None and ready.augmented.records:  # a source that only its inferences are learned from
        rows = {name: row for name, row in rows.items() if name in set(ready.origins)}
    plan = ready.plan(data.recipe.seeds[0])
    looked = partial(_count_block, data, ready, plan.times(), _known(data, ready))
    blocks = [slice(at, at + BLOCK) for at in range(0, len(ready.records), BLOCK)]
    most = 0
    for found, longest in mapped(looked, blocks) if isinstance(ready.records, Lazy) else map(looked, blocks):
        for (name, counted), n in found.items():
            rows[name][counted] += n
        most = max(most, longest)
    made = [{**row, "updates": plan.updates, "sequences": plan.draws} for row in rows.values()]
    return {"rows": made, "longest": most}


def _count_block(
    data: Data, ready: PreparedStage, times: Seq[int], known: Seq[Length], block: slice
) -> tuple[Counter[tuple[str, str]], int]:
    """(source, what is counted) -> what these records add; and the tokens of their longest sequence."""
    found, most, key = Counter[tuple[str, str]](), 0, DrawKey(data.recipe.seeds[0], 0)
    for n, record, name, own in zip(
        times[block], ready.records[block], ready.origins[block], known[block], strict=True
    ):
        drawn = ready.context.draw(record, key)
        learned, length = record, own
        if drawn.record is not None:  # learned in the record's place
            learned, length = drawn.record, lengths([drawn.record], data.tokenizer)[0]
        opening, before, own_sizes = _measure(drawn.segments, learned, length, data.tokenizer)
        hold_to_promise(sum(size for _, size in before), drawn.limit, record.id)
        trained = learned.ends + sum(size for role, size in (*before, *own_sizes) if role == "target")
        whole = opening + learned.ends + sum(size for _, size in (*before, *own_sizes))
        cut = max(0, whole - ready.train.max_length)
        found[name, "rows"] += 1
        found[name, "tokens_in"] += own.context + own.target
        found[name, "trained"] += trained
        found[name, "cut"] += cut
        found[name, "context"] += whole - cut - trained
        found[name, "reached"] += n > 0
        found[name, "learned"] += trained * n
        most = max(most, whole - cut)
    return found, most


def _row(data: Data, source: str) -> dict[str, Any]:
    """A row of zeros; what was inferred ("source+operation") was never in a file."""
    read = source in data.documents
    return {
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


def _known(data: Data, ready: PreparedStage) -> Seq[Length]:
    """The lengths of a stage's own records."""
    if ready.augmented is not None:
        return lengths(ready.records, data.tokenizer)
    known = chained([data.lengths(name) for name in ready.stage.sources])
    if not ready.stage.context.filters():
        return known
    records = chained([data.records[name].records for name in ready.stage.sources])
    return [length for record, length in zip(records, known, strict=True) if ready.stage.context.is_target(record)]


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
