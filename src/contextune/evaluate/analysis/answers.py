"""A comparison of tuning with retrieval, answered in sentences: what is known, what retrieval adds, what was lost, what
it costs.

Differences are paired: the same resampled facts and the same draws over seeds on both sides. "Clear" means that the
interval of the one difference named excludes zero; it is not corrected, as the verdict is, for there being several.
Costs are counted in tokens. A training token costs about three read ones: it is read, and its gradients are taken
twice, by weights and by activations (Kaplan et al. 2020, arXiv 2001.08361, section 2.1: 6N against 2N).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

from .statistics import Estimate, mean

TRAINED = 3
"""Read tokens that a token of training is worth."""
DAYS = 30
"""Days that a tuned model is used before the documents have changed enough to tune it again."""
KNOWN = ("learn", "generalise")
LOST = ("listen", "resist", "retain")
WHAT = {
    "learn": "what the documents say, in their words",
    "generalise": "the same asked otherwise",
    "listen": "using the passage it is given",
    "resist": "not being misled by a passage",
    "retain": "what the model could do before",
}

Cells = Mapping[tuple[str, str], Estimate]
Answer = dict[str, str]
"""question, answer."""


def of(
    folder: Path, cells: Cells, tasks: Mapping[str, Mapping[str, Any]], confidence: float, untrained: Collection[str]
) -> list[Answer]:
    """The questions that the run answers; none where no arm is asked behind passages (`retrieval.json`)."""
    behind = _json(folder / "retrieval.json") or {}
    arms = list(dict.fromkeys(arm for arm, _ in cells))
    behind = {arm: told for arm, told in behind.items() if arm in arms}
    base = next((arm for arm in arms if arm in untrained and arm not in behind), None)
    tuned = [arm for arm in arms if arm not in untrained and arm not in behind]
    if not behind or base is None or not tuned:
        return []
    view = _View(cells, tasks, confidence)
    measures = {task["measure"] for task in tasks.values()}
    known = [m for m in KNOWN if m in measures] or ["task"] * ("task" in measures)
    best = max(tuned, key=lambda arm: view.mean(arm, known).value) if known else tuned[0]
    found: list[Answer] = []
    if known:
        found.append(_known(view, base, best, known))
        found.append(_adds(view, base, best, behind, known))
    if lost := [m for m in LOST if m in measures]:
        found.append(_lost(view, base, best, lost))
    if cost := _cost(folder, best, behind):
        found.append(cost)
    return found


class _View:
    """Values and paired differences of measures, in words."""

    def __init__(self, cells: Cells, tasks: Mapping[str, Mapping[str, Any]], confidence: float) -> None:
        self.cells, self.tasks, self.confidence = cells, tasks, confidence

    def mean(self, arm: str, measures: Seq[str]) -> Estimate:
        """The mean of the tasks of each measure, and of those."""
        of = {m: [self.cells[arm, t] for t, a in self.tasks.items() if self._counts(a, m)] for m in measures}
        return mean([mean(found) for found in of.values() if found])

    @staticmethod
    def _counts(about: Mapping[str, Any], measure: str) -> bool:
        return about["measure"] == measure and bool(about["higher_is_better"])

    def gap(self, one: str, other: str, measures: Seq[str]) -> tuple[float, list[float] | None]:
        found = self.mean(one, measures) - self.mean(other, measures)
        return found.value, found.interval(self.confidence)

    def share(self, arm: str, measures: Seq[str]) -> str:
        return f"{100 * self.mean(arm, measures).value:.1f} %"


def clear(interval: Seq[float] | None) -> int:
    """1 or -1 where an interval lies on one side of zero, else 0."""
    if interval is None:
        return 0
    return (interval[0] > 0) - (interval[1] < 0)


def _points(value: float, interval: Seq[float] | None) -> str:
    span = f", {100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}" if interval else ""
    return f"({100 * value:+.1f} points{span})"


def _known(view: _View, base: str, best: str, known: Seq[str]) -> Answer:
    parts = []
    for measure in known:
        value, interval = view.gap(best, base, [measure])
        verb = {1: "more than", -1: "less than", 0: "not clearly another share than"}[clear(interval)]
        parts.append(
            f"of {WHAT.get(measure, 'the questions')} ({measure}) it answers {view.share(best, [measure])}, {verb} the "
            f"untrained model's {view.share(base, [measure])} {_points(value, interval)}"
        )
    text = "; ".join(parts)
    return {
        "question": "What does the tuned model know without the documents?",
        "answer": f"The best tuned arm is {best}: {text}.",
    }


def _adds(view: _View, base: str, best: str, behind: Mapping[str, Any], known: Seq[str]) -> Answer:
    said = []
    for arm, told in behind.items():
        bare = base if told["untrained"] else told["weights_of"]
        if told["oracle"] or bare not in (base, best):
            continue
        value, interval = view.gap(arm, bare, known)
        who = "the tuned model" if bare == best else "the untrained model"
        verb = {1: "adds to", -1: "takes away from", 0: "changes nothing that is clear for"}[clear(interval)]
        said.append(f"Retrieval {verb} {who}: {arm} {view.share(arm, known)} {_points(value, interval)}.")
        if bare == base:
            value, interval = view.gap(best, arm, known)
            verb = {1: "knows more than", -1: "knows less than", 0: "is not clearly different from"}[clear(interval)]
            said.append(f"Tuned and without documents, {best} {verb} {arm} {_points(value, interval)}.")
            rights = [t["right"] for t in told["tasks"].values() if t["right"] is not None]
            if rights:
                said.append(
                    f"It finds half or more of the right passage for {sum(rights) / len(rights):.0%} of the questions."
                )
    for arm, told in behind.items():
        if told["oracle"] and told["untrained"]:
            said.append(f"With the right passage the untrained model ({arm}) answers {view.share(arm, known)}.")
    text = " ".join(said) or f"No arm asks {best} or {base} behind retrieved passages."
    return {"question": "Does retrieval add to it?", "answer": text}


def _lost(view: _View, base: str, best: str, lost: Seq[str]) -> Answer:
    gaps = {m: view.gap(best, base, [m]) for m in lost}
    worse = [f"{m}, {WHAT[m]} {_points(*gap)}" for m, gap in gaps.items() if clear(gap[1]) < 0]
    better = [f"{m}, {WHAT[m]} {_points(*gap)}" for m, gap in gaps.items() if clear(gap[1]) > 0]
    unclear = [f"{m} {_points(*gap)}" for m, gap in gaps.items() if not clear(gap[1])]
    said = [f"{best} lost in {'; '.join(worse)}." if worse else f"Nothing that {best} has clearly lost."]
    said += [f"It gained in {'; '.join(better)}."] if better else []
    said += [f"Not clear: {'; '.join(unclear)}."] if unclear else []
    return {"question": "What did tuning cost in other abilities?", "answer": " ".join(said)}


def _cost(folder: Path, best: str, behind: Mapping[str, Any]) -> Answer | None:
    """From which number of questions a day the training's tokens are fewer than those of the longer prompts."""
    rows = _json(folder / "accounting.json") or []
    tuning = sum(trained_tokens(row) for row in rows if row["arm"] == best)
    arm, told = next(((a, t) for a, t in behind.items() if t["untrained"] and not t["oracle"]), ("", None))
    if not tuning or told is None:
        return None
    closed = [t for t in told["tasks"].values() if t["behind_passages"]]
    more = sum(t["tokens"] * t["items"] for t in closed) / max(1, sum(t["behind_passages"] for t in closed))
    if more <= 0:
        return None
    pays = tuning / more
    return {
        "question": "From how many questions a day does tuning cost less than the longer prompt?",
        "answer": f"From {_many(pays / DAYS)} a day, if the model is tuned again every {DAYS} days, or {_many(pays)} a "
        f"day if every day: training {best} reads tokens worth {_many(tuning)} of a prompt ({TRAINED} for each one), "
        f"and {arm} reads {more:,.0f} tokens more for each question. Counted in tokens, for one training; what answers "
        "are worth, and what a writer reads and writes, is not in it.",
    }


def trained_tokens(row: Mapping[str, Any]) -> float:
    """Read tokens that a row of accounting.json is worth: all its sequences, with their contexts, in all updates."""
    passes = row["learned"] / max(1, row["trained"])
    return float(TRAINED * (row["trained"] + row["context"]) * passes)


def _json(file: Path) -> Any:
    """What a file holds; None where there is none."""
    try:
        return json.loads(file.read_text("utf-8")) if file.is_file() else None
    except ValueError:
        raise UserError(f"{file}: not JSON", "give the same contextune run again: it writes the file anew") from None


def _many(n: float) -> str:
    return f"{max(1, round(n)):,}" if n < 10_000 else f"{round(n, -3):,.0f}"
