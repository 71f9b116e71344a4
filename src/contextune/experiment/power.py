"""What an exam can show, said before training: the smallest difference between arms that is found in most cases."""

from __future__ import annotations

from typing import Any

from contextune.core.items import Task
from contextune.evaluate import metrics
from contextune.evaluate.analysis.power import POWER, SEED_SD, Design, smallest
from contextune.evaluate.analysis.verdict import LEAST
from contextune.evaluate.tasks.load import members

from .prepare import Prepared

EXAM = "exam."
"""What the tasks of an exam's folder are called."""


def power(prepared: Prepared) -> dict[str, Any] | None:
    """What an exam among the tasks can show: {facts, items, seeds, arms, seed_sd, least: share or null}.

    `least` is that of the winner's lead, corrected as the verdict does, `pair` that of two arms alone. None where no
    task is an exam's, or nothing is compared.
    """
    compare, seeds = prepared.recipe.compare, len(prepared.recipe.seeds)
    named = {task for name in compare.tasks for task in members(name)}
    tasks = [t for t in prepared.tasks if (t.name in named if named else t.measure != "retain") and _counts(t)]
    if not any(t.name.startswith(EXAM) for t in tasks) or len(prepared.arms) < 2:
        return None
    items = sum(len(t.items) for t in tasks)
    facts = len({i.resampled_with for t in tasks for i in t.items})
    known = compare.seed_sd if compare.seed_sd is not None else SEED_SD
    design = Design(
        facts,
        items / facts,
        seeds,
        chance=sum(t.chance or 0.0 for t in tasks) / len(tasks),
        seed_sd=known,
        confidence=compare.confidence,
    )
    able = seeds >= LEAST or compare.seed_sd is not None
    corrected = Design(**{**design.__dict__, "comparisons": len(prepared.arms) - 1}) if able else design
    return {
        "facts": facts, "items": items, "seeds": seeds, "arms": len(prepared.arms), "seed_sd": known,
        "stated": compare.seed_sd is not None, "least": smallest(corrected) if able else None,
        "pair": smallest(design) if able else None,
    }  # fmt: skip


def _counts(task: Task) -> bool:
    """Whether a task's metric is a share, which goes into the score."""
    return task.kind != "perplexity" and metrics.find(task.metric).higher_is_better


def power_line(found: dict[str, Any]) -> str:
    """What was found in words."""
    basis = f"{found['facts']:,} facts, {found['items']:,} items, {found['seeds']} seeds"
    if found["seeds"] < LEAST and not found["stated"]:
        return f"on fewer than {LEAST} seeds no arm is called clearly better ({basis}): give seeds: [0, 1, 2, 3, 4]"
    deviation = f"a deviation between seeds of {100 * found['seed_sd']:g} points"
    basis += f", {deviation}" + ("" if found["stated"] else ", which is assumed")
    arms = f"the best of {found['arms']} arms"
    if found["least"] is None:
        return f"this exam cannot show {arms} ({basis}): give more seeds, more facts or fewer arms"
    pair = found["pair"]
    alone = f"; between two arms alone {100 * pair:g}" if pair is not None and found["arms"] > 2 else ""
    return (
        f"this exam can show differences of {100 * found['least']:g} points or more between {arms} and the next, "
        f"in {POWER:.0%} of cases{alone} ({basis})"
    )
