"""What an arm's contexts are: what its policy wants, what the rows allow, and what is drawn in the first epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from contextune.core.sequence import DrawKey

from .prepare import Prepared, PreparedStage

MOST = 1000
"""Contexts that are drawn to count them, evenly spaced over the rows."""
SLOTS = ("paraphrase", "similar", "random", "self")
GRADES = ("low", "medium", "high")


def context_shares(prepared: Prepared) -> list[dict[str, Any]]:
    """For each arm and stage whose contexts show examples: shares of the contexts drawn in the first epoch.

    [{arm, stage, policy, drawn, wanted: {KIND: share}, realised: {KIND: share}, grades: {GRADE: share}}]; kinds are
    those of slot one, and edited and distractors where the policy edits. Kept, since drawing takes time.
    """
    if "context_shares" not in prepared.kept:
        key = DrawKey(prepared.recipe.seeds[0], 0)
        prepared.kept["context_shares"] = [
            {"arm": arm, "stage": i, **row}
            for arm, stages in prepared.arms.items()
            for i, ready in enumerate(stages)
            if (row := _row(ready, key))
        ]
    found: list[dict[str, Any]] = prepared.kept["context_shares"]
    return found


def _row(ready: PreparedStage, key: DrawKey) -> dict[str, Any]:
    records = ready.records[:: max(1, -(-len(ready.records) // MOST))]
    drawn = [list(_parts(ready.context.draw(record, key).provenance)) for record in records]
    kinds = Counter(kind for parts in drawn for kind in {k for part in parts for k in _kinds(part)})
    grades = Counter(part["grade"] for parts in drawn for part in parts if part.get("grade"))
    if not kinds:
        return {}
    wanted = {share.kind: share.wanted for share in ready.shares}
    share = {kind: kinds[kind] / len(drawn) for kind in dict.fromkeys((*wanted, *kinds))}
    graded = {grade: grades[grade] / max(1, grades.total()) for grade in GRADES}
    return {
        "policy": ready.stage.context.name, "drawn": len(drawn), "wanted": wanted, "realised": share, "grades": graded
    }  # fmt: skip


def _parts(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where each part of a context came from: of policies made of policies, of each of them."""
    parts = provenance.get("concat")
    if parts is None:
        yield provenance
    else:
        for part in parts:
            yield from _parts(part)


def _kinds(part: Mapping[str, Any]) -> Iterator[str]:
    if "edit" in part:
        yield "edited"
    elif "distractors" in part:
        if part["distractors"]:
            yield "distractors"
    elif part.get("slot_one"):
        yield str(part["slot_one"])


def context_line(row: Mapping[str, Any]) -> str:
    """A row in words."""
    wanted = row["wanted"]
    parts = [
        f"{kind} {share:.1%}" + (f" (wanted {wanted[kind]:.1%})" if kind in wanted else "")
        for kind, share in row["realised"].items()
    ]
    grades = ", ".join(f"{name} {share:.0%}" for name, share in row["grades"].items())
    name = row["arm"] + (f" ({row['stage'] + 1})" if row["stage"] else "")
    return f"{name}: {', '.join(parts)} of {row['drawn']:,} contexts" + (
        f"; most similar example: {grades}" if any(row["grades"].values()) else ""
    )
