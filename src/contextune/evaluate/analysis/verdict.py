"""Which arm to use, said honestly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Seq
from typing import Any

from .statistics import Estimate

FEW = 5
"""Seeds below which an interval over them is rough."""
LEAST = 3
"""Seeds below which no trained arm is called clearly better, unless the deviation between seeds is stated."""


def reach(
    scores: Mapping[str, Estimate],
    baseline: str,
    confidence: float,
    *,
    untrained: Collection[str],
    seeds: int,
    stated: bool = False,
    items: int,
    floor: float | None,
    notes: Seq[str] = (),
) -> dict[str, Any]:
    """The `verdict` of results.json. `difference` and `interval` are the winner's lead over the runner-up;
    `sentence` is "`statement` (`aside`). `notes`".

    `floor` is what a constant answer or chance would score, `notes` is what else there is to say, `stated` says that
    the deviation between seeds was. The winner is the best arm by score, and any of the others might have been: each of
    its leads is one of k = arms - 1 that were looked at, and its interval is at 1 - (1 - confidence)/k, Holm's first
    step, so that the chance of any false lead over one arm is not above 1 - confidence. It is clear only where the
    interval excludes zero, and only on `LEAST` seeds or more. How the trained arms stand to the untrained one, where
    there is one, is always said.
    """
    found: dict[str, Any] = {
        "sentence": "",
        "winner": None,
        "runner_up": None,
        "baseline": baseline,
        "clear": False,
        "comparisons": 0,
    }
    found |= {"difference": None, "interval": None, "confidence": confidence}
    if not scores:
        return found | _said("No verdict: no task decides", "perplexity and retention tasks do not", list(notes))
    ranked = sorted(scores, key=lambda arm: -scores[arm].value)  # stable: the recipe's order where scores are equal
    found["winner"] = ranked[0]
    if len(ranked) == 1:
        alone = f"{ranked[0]} scores {_points(scores[ranked[0]].value)}; there is no other arm to compare."
        return found | {"sentence": " ".join([alone, *notes])}
    lead = scores[ranked[0]] - scores[ranked[1]]
    compared = len(ranked) - 1
    corrected = 1 - (1 - confidence) / compared
    interval = lead.interval(corrected)
    ahead = interval is not None and interval[0] > 0
    enough = stated or seeds >= LEAST or set(ranked[:2]) <= set(untrained)
    found |= {"runner_up": ranked[1], "difference": lead.value, "interval": interval, "clear": ahead and enough}
    found |= {"comparisons": compared, "enough_seeds": enough}
    title = {arm: f"{arm} (untrained)" if arm in untrained else arm for arm in scores}
    basis = f"{seeds} seed{'s' * (seeds != 1)}, {items} item{'s' * (items != 1)}"
    span = f"{100 * confidence:g} % interval{f' corrected for {compared} comparisons' if compared > 1 else ''}"
    statement, aside = _lead(title[ranked[0]], title[ranked[1]], lead.value, interval, span, basis, ahead)
    more = []
    others = {baseline: "the baseline "} | {arm: "" for arm in scores if arm in untrained and arm != baseline}
    for arm in (arm for arm in others if arm not in ranked[:2]):
        over = scores[ranked[0]] - scores[arm]
        within = _within(over.interval(corrected))
        more.append(f"Over {others[arm]}{title[arm]} its lead is {_points(over.value)}{within}.")
    more += _untrained(scores, [arm for arm in ranked if arm in untrained], title)
    more += _caveats(scores[ranked[0]].interval(confidence), seeds, floor)
    if ahead and not enough:
        more.append(f"On fewer than {LEAST} seeds no arm is called clearly better, unless compare.seed_sd is stated.")
    more += notes
    return found | _said(statement, aside, more)


def _untrained(scores: Mapping[str, Estimate], untrained: Seq[str], title: Mapping[str, str]) -> list[str]:
    """Which trained arms are no better than the best untrained one."""
    trained = [arm for arm in scores if arm not in untrained]
    if not untrained or not trained:
        return []
    best = scores[untrained[0]].value
    gaps = {arm: scores[arm].value - best for arm in trained if scores[arm].value <= best}
    if not gaps:
        return []
    shown = ", ".join(f"{arm} {_points(gap)}" for arm, gap in gaps.items())
    if len(gaps) == len(trained):
        return [f"No trained arm scores above {title[untrained[0]]}: {shown} points."]
    return [f"Not above {title[untrained[0]]}: {shown} points."]


def _said(statement: str, aside: str, notes: list[str]) -> dict[str, Any]:
    sentence = " ".join([f"{statement} ({aside}).", *notes])
    return {"sentence": sentence, "statement": statement, "aside": aside, "notes": notes}


def _lead(
    winner: str, second: str, lead: float, interval: list[float] | None, what: str, basis: str, ahead: bool
) -> tuple[str, str]:
    """(what is to be said of the first two arms, on what it stands)."""
    if interval is None:
        return "No arm is clearly better: nothing could be resampled", basis
    span = f"{what} {_points(interval[0])} to {_points(interval[1])}; {basis}"
    if ahead:
        return f"{winner} is ahead of {second} by {_points(lead)} points", span
    if lead == 0:
        return f"No arm is clearly better: {winner} and {second} score the same", span
    told = f"{winner} is ahead of {second} by {_points(lead)} points, but the interval contains zero"
    return f"No arm is clearly better: {told}", span


def _caveats(interval: list[float] | None, seeds: int, floor: float | None) -> list[str]:
    found = []
    if seeds == 1:
        found.append("With one seed the interval leaves out the variation between trainings.")
    elif seeds < FEW:
        found.append(f"With {seeds} seeds the interval is rough.")
    if floor and (interval is None or interval[0] <= floor):
        found.append(f"No arm is clearly above what chance or one constant answer scores ({_points(floor)}).")
    return found


def _points(share: float) -> str:
    text = f"{100 * share:.1f}"
    return "0.0" if text == "-0.0" else text


def _within(interval: list[float] | None) -> str:
    return f" points ({_points(interval[0])} to {_points(interval[1])})" if interval else " points"
