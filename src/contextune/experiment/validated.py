"""What each stage's validation loss is measured on, and what follows from it; said before the first step."""

from __future__ import annotations

from typing import Any

from contextune.data.token_counts import lengths

from .prepare import Prepared

FEW = 5
"""Texts below which a validation loss says little."""


def validated(prepared: Prepared) -> list[dict[str, Any]]:
    """[{arm, stage, texts, tokens: targets, every: updates, keep, patience}] of the stages that validate."""
    rows = []
    for arm, stages in prepared.arms.items():
        for i, ready in enumerate(stages):
            if not len(ready.validation):
                continue
            if len(ready.validation) < FEW and (ready.train.selects or prepared.recipe.search is not None):
                prepared.warn(f"arm {arm}: {len(ready.validation)} validation texts, too few to choose by")
            rows.append({
                "arm": arm, "stage": i, "texts": len(ready.validation),
                "tokens": sum(length.target for length in lengths(ready.validation, prepared.tokenizer)),
                "every": ready.train.validate_every or max(1, ready.plan(prepared.recipe.seeds[0]).updates // 10),
                "keep": ready.train.keep, "patience": ready.train.patience,
            })  # fmt: skip
    return rows


def validated_lines(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each stage, or one where all are alike."""
    found: dict[str, str] = {}
    for row in rows:
        ends = f", ends after {row['patience']} without a lower loss" if row["patience"] else ""
        name = row["arm"] + (f" ({row['stage'] + 1})" if row["stage"] else "")
        texts = f"{row['texts']:,} text" + "s" * (row["texts"] != 1)
        measured = f"{texts} ({row['tokens']:,} target tokens) every {row['every']:,} updates"
        found[name] = f"{measured}, keeps the {row['keep']} weights{ends}"
    if len(set(found.values())) == 1 and len(found) > 1:
        return [f"every arm: {next(iter(found.values()))}"]
    return [f"{name}: {text}" for name, text in found.items()]
