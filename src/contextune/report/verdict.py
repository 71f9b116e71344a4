"""The verdict as results.json has it, whole or in part."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .numbers import bounds, finite
from .read import Run


@dataclass(frozen=True)
class Verdict:
    """`sentence` leads, its last bracket is the `aside`; `more` are the caveats after it. `difference` is the lead of
    `between`'s first over its second."""

    sentence: str
    aside: str = ""
    more: str = ""
    baseline: str = ""
    between: tuple[str, str] | None = None
    clear: bool = False
    difference: float | None = None
    interval: tuple[float, float] | None = None
    measured: bool = True


def verdict(run: Run) -> Verdict:
    found = run.results.get("verdict")
    if not isinstance(found, dict) or not found.get("sentence"):
        return Verdict("This run has not been evaluated yet: there is no verdict.", measured=False)
    text = re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", str(found["sentence"]))
    first, _, more = re.sub(r"(?<=[.!?]) (?=[A-Z])", "\0", text, count=1).partition("\0")
    bracket = re.search(r" \([^()]*\)\.?$", first)
    ahead, behind = found.get("winner"), found.get("runner_up")
    return Verdict(
        first[: bracket.start()] if bracket else first,
        bracket[0].strip() if bracket else "",
        more,
        baseline=str(found.get("baseline") or ""),
        between=(str(ahead), str(behind)) if ahead and behind else None,
        clear=bool(found.get("clear")),
        difference=finite(found.get("difference")),
        interval=bounds(found.get("interval")),
    )
