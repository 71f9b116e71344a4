"""What a model will be trained on, token by token, as plain values for the terminal, HTML and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contextune.contexts import compose
from contextune.core.asking import chat_text as asked_text
from contextune.core.encoding import token_texts
from contextune.core.errors import UserError, shown
from contextune.core.sequence import IGNORED, DrawKey, Rendered, render
from contextune.core.special_tokens import controls
from contextune.evaluate.scoring.outcomes import prompt_hash

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


def asked(prepared: Prepared) -> Iterator[dict[str, Any]]:
    """For each task its first item as the model reads it, with the hash that outcomes and report give it."""
    for task in prepared.tasks:
        item = task.items[0]
        said = task.asked(item)
        text = said if isinstance(said, str) else asked_text(said, prepared.tokenizer)
        options = list(item.options) if task.kind == "choice" else []
        yield {
            "task": task.name, "item": item.id, "chat": task.chat, "prompt": text, "prompt_hash": prompt_hash(text),
            "options": options, "gold": item.gold, "stop": list(task.stop) if task.kind == "generate" else [],
        }  # fmt: skip


def asked_lines(found: dict[str, Any]) -> str:
    """One task's first item as text."""
    how = "through the chat template" if found["chat"] else "as written"
    head = f"── {found['task']}, item {found['item']}, asked {how}, prompt {found['prompt_hash']}"
    after = [f"option {shown(o)}" for o in found["options"]] + [f"gold   {shown(found['gold'])}"]
    return "\n".join([head, found["prompt"], "──", *after])


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
