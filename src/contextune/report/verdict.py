"""The verdict as results.json has it, whole or in part."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .numbers import bounds, finite
from .read import Run


@dataclass(frozen=True)
class VerdictView:
    """`sentence` leads, `aside` says on what it rests; `more` are the notes after it. `difference` is the lead of
    `between`'s first over its second."""

    sentence: str
    aside: str = ""
    more: str = ""
    baseline: str = ""
    between: tuple[str, str] | None = None
    clear: bool = False
    enough_seeds: bool = True
    difference: float | None = None
    interval: tuple[float, float] | None = None
    measured: bool = True


def verdict(run: Run) -> VerdictView:
    found = run.results.get("verdict")
    if not isinstance(found, dict) or not found.get("sentence"):
        return VerdictView("This run has not been evaluated yet: there is no verdict.", measured=False)
    statement, aside = found.get("statement"), found.get("aside")
    notes = [str(note) for note in found.get("notes") or ()]
    ahead, behind = found.get("winner"), found.get("runner_up")
    return VerdictView(
        _unbroken(str(statement or found["sentence"])),
        _unbroken(f"({aside})." if aside else ""),
        _unbroken(" ".join(notes) if statement else ""),
        baseline=str(found.get("baseline") or ""),
        between=(str(ahead), str(behind)) if ahead and behind else None,
        clear=bool(found.get("clear")),
        enough_seeds=bool(found.get("enough_seeds", True)),
        difference=finite(found.get("difference")),
        interval=bounds(found.get("interval")),
    )


def answers(run: Run) -> list[dict[str, str]]:
    """The questions that the run answers in sentences, where it compares tuning with retrieval."""
    found = run.results.get("answers")
    rows = found if isinstance(found, list) else []
    return [
        {"question": str(row.get("question", "")), "answer": _unbroken(str(row.get("answer", "")))}
        for row in rows
        if isinstance(row, dict)
    ]


def _unbroken(text: str) -> str:
    """No line ends between a number and its per cent sign."""
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)
