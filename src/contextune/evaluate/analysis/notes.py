"""What to know before the numbers of a comparison: who has hardly trained, which tasks tell nobody apart.

undertrained   from its first fifth of updates to its last, a stage's mean training loss fell by less than 2 %
ceiling        every arm scores 1 on a task
floor          no arm is clearly above what chance or one constant answer scores on a task
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

WINDOW = 5
"""A stage's beginning and end are this part of its updates each."""
LEAST = 0.02
"""The share of its loss that a stage loses at least, unless it is undertrained."""
KNOWN = 0.05
"""Nats a token below which there was nothing left to learn."""

Note = dict[str, Any]
"""kind, arm and stage or task, text."""


def undertrained(folder: Path, arms: Mapping[str, Any]) -> list[Note]:
    """One note a stage whose loss has barely moved, as the mean over its seeds; none where no losses were kept."""
    losses: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for path in sorted(folder.glob("arms/*/seed-*/stage-*/losses.json")):
        arm, numbered = path.parts[-4], re.fullmatch(r"stage-(\d+)", path.parts[-2])
        curve = _curve(path)
        if arm in arms and numbered and curve:
            n = -(-len(curve) // WINDOW)
            losses.setdefault((arm, int(numbered[1])), []).append((sum(curve[:n]) / n, sum(curve[-n:]) / n))
    stages = {arm: sum(a == arm for a, _ in losses) for arm, _ in losses}
    found = []
    for (arm, stage), ends in sorted(losses.items(), key=lambda entry: (list(arms).index(entry[0][0]), entry[0][1])):
        first, last = (sum(side) / len(ends) for side in zip(*ends, strict=True))
        if last > (1 - LEAST) * first and first > KNOWN:
            which = f"{arm} (stage {stage + 1})" if stages[arm] > 1 else arm
            moved = f"{first:.3f} to {last:.3f}"
            found.append({"kind": "undertrained", "arm": arm, "stage": stage, "text": f"{which}: {moved}"})
    return found


def _curve(path: Path) -> list[float]:
    try:
        return [float(row["loss"]) for row in json.loads(path.read_text("utf-8"))]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: expected rows with numbers 'loss'", "delete it to go without its curve") from None


def saturated(arms: Mapping[str, Any], tasks: Mapping[str, Any], floors: Mapping[str, float]) -> list[Note]:
    """A note for each task on which every arm is at the ceiling, or none clearly above the floor.

    `arms` and `tasks` are those of results.json, `floors` what needs no model. Tasks that are no shares (perplexity)
    have neither.
    """
    found = []
    for task, about in tasks.items():
        cells = [arm["tasks"][task] for arm in arms.values()]
        floor = floors[task]
        if not about["higher_is_better"]:
            continue
        if all(cell["value"] >= 1 for cell in cells):
            found.append({"kind": "ceiling", "task": task, "text": task})
        elif all((cell["interval"] or [cell["value"]])[0] <= floor for cell in cells):
            found.append({"kind": "floor", "task": task, "text": f"{task} ({100 * floor:.1f})"})
    return found


def sentences(notes: list[Note]) -> dict[str, str]:
    """One sentence for each kind of note."""
    of = {
        kind: ", ".join(n["text"] for n in notes if n["kind"] == kind) for kind in ("undertrained", "ceiling", "floor")
    }
    said = {
        "undertrained": f"Undertrained, the training loss has barely moved: {of['undertrained']}; "
        "raise train.lr or train.epochs.",
        "ceiling": f"Every arm answers everything right (ceiling), which tells nobody apart: {of['ceiling']}.",
        "floor": f"No arm is clearly above chance or one constant answer (floor): {of['floor']}.",
    }
    return {kind: text for kind, text in said.items() if of[kind]}
