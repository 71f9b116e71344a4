"""What a model will be trained on, token by token, as plain values for the terminal, HTML and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contextune.contexts import compose
from contextune.core.encoding import token_texts
from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, DrawKey, Rendered, render
from contextune.core.special_tokens import controls

from .prepare import Prepared, PreparedStage


def preview(prepared: Prepared, row: int = 0, rows: int = 1, epochs: int = 2) -> Iterator[dict[str, Any]]:
    """For each arm and stage, records `row` to `row + rows`: their tokens in the first epochs, with provenance."""
    for arm, stages in prepared.arms.items():
        for index, ready in enumerate(stages):
            if row >= len(ready.records):
                raise UserError(
                    f"arm {arm} has {len(ready.records)} records, row {row} is not there", "--row counts from 0"
                )
            for at in range(row, min(row + rows, len(ready.records))):
                drawn = [_epoch(prepared, ready, at, epoch) for epoch in range(epochs)]
                yield {"arm": arm, "stage": index, "row": at, "record": ready.records[at].id, "epochs": drawn}


def _epoch(prepared: Prepared, ready: PreparedStage, row: int, epoch: int) -> dict[str, Any]:
    sequence = compose(ready.records[row], ready.context, DrawKey(prepared.recipe.seeds[0], epoch))
    rendered = render(sequence, prepared.tokenizer, ready.train.max_length)
    return {
        "epoch": epoch,
        "tokens": _tokens(prepared, rendered),
        "provenance": dict(sequence.provenance),
        "counts": {"tokens": len(rendered), "trained": rendered.trained, "context": len(rendered) - rendered.trained,
                   "cut": rendered.cut},
    }  # fmt: skip


def _tokens(prepared: Prepared, rendered: Rendered) -> list[dict[str, Any]]:
    special = controls(prepared.tokenizer)
    texts = token_texts(rendered.ids, prepared.tokenizer)
    tokens: list[dict[str, Any]] = []
    for position, (i, label, text) in enumerate(zip(rendered.ids, rendered.labels, texts, strict=True)):
        role = "special" if i in special else "context" if label == IGNORED else "target"
        tokens.append({
            "id": i, "text": text, "label": label, "position": position, "special": i in special, "role": role,
        })  # fmt: skip
    return tokens
