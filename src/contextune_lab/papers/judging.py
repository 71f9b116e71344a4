"""How a verdict is reached: from an interval and a margin that were stated before anything was measured.

holds         the whole interval is where the claim says
fails         the whole interval is where the claim says that it is not
not shown     neither: the interval reaches both sides, so that more seeds or items might decide
not testable  nothing measured here could decide: "above" what is at the ceiling, "as good as" what is at zero

"As good as" is a claim of non-inferiority: not worse by more than `MARGIN`. It does not become easier to reach with
more noise, as "within one standard error" does. A conjunction is one claim only where its parts are not claims of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contextune.evaluate.analysis.statistics import Estimate

from .claims import Claim, Verdict

MARGIN = 0.03
"""What counts as no worse, and as near: three points."""
CEILING = 0.98
"""From here on nothing can lie clearly above."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    why: str


def claim(
    id: str,
    paper: str,
    e: Estimate,
    seeds: int,
    judged: Judgement | None = None,
    whose: Literal["paper", "ours"] = "paper",
) -> Claim:
    """What was measured, and what it says of the claim; without a judgement it is only measured."""
    interval = e.interval(CONFIDENCE)
    shown = None if interval is None else (interval[0], interval[1])
    verdict, why = (judged.verdict, judged.why) if judged else ("measured", "")
    return Claim(id, paper, e.value, shown, seeds, verdict, why, None, whose)


def above(e: Estimate, other: Estimate, margin: float = 0.0) -> Judgement:
    """More than the other by more than a margin."""
    if other.value >= CEILING:
        return Judgement("not testable", f"the other is at the ceiling ({other.value:.3f})")
    return _between(e - other, margin, f"above by more than {margin:g}" if margin else "above")


def not_worse(e: Estimate, other: Estimate, margin: float = MARGIN) -> Judgement:
    """Not less than the other by more than a margin, where there is as much to lose."""
    if other.value <= margin:
        return Judgement("not testable", f"the other is at zero ({other.value:.3f}): nothing lies clearly below it")
    return no_more(other, e, margin)


def no_more(e: Estimate, other: Estimate, margin: float = MARGIN) -> Judgement:
    """Not more than the other by more than a margin; less is what is wanted, so both may be at zero."""
    return _between(other - e, -margin, f"not below by more than {margin:g}")


def at_least(e: Estimate, bar: float) -> Judgement:
    """At a bar or above it."""
    low, high = _ends(e)
    return Judgement(decided(low >= bar, high < bar), f"at least {bar:g}: {_shown(e)}")


def at_most(e: Estimate, bar: float) -> Judgement:
    low, high = _ends(e)
    return Judgement(decided(high <= bar, low > bar), f"at most {bar:g}: {_shown(e)}")


def near(e: Estimate, level: float, margin: float = MARGIN) -> Judgement:
    """Within a margin of a level."""
    low, high = _ends(e)
    holds = level - margin <= low and high <= level + margin
    fails = high < level - margin or low > level + margin
    return Judgement(decided(holds, fails), f"within {margin:g} of {level:g}: {_shown(e)}")


def together(parts: Mapping[str, Judgement]) -> Judgement:
    """All of them at once: fails with any that fails, holds where all hold."""
    found = [p.verdict for p in parts.values()]
    worst: tuple[Verdict, ...] = ("fails", "not testable", "not shown", "holds")
    return Judgement(next(v for v in worst if v in found), "; ".join(f"{name}: {p.why}" for name, p in parts.items()))


def given(learned: Judgement, what: str, judged: Judgement) -> Judgement:
    """A claim about what follows from something learned: not testable unless that was."""
    if learned.verdict == "holds":
        return judged
    return Judgement("not testable", f"{what} is not shown to be learned ({learned.why})")


def decided(holds: bool, fails: bool) -> Verdict:
    return "holds" if holds else "fails" if fails else "not shown"


def _between(difference: Estimate, margin: float, what: str) -> Judgement:
    low, high = _ends(difference)
    return Judgement(decided(low > margin, high < margin and high < 0), f"{what}: {_shown(difference, sign=True)}")


def _ends(e: Estimate) -> tuple[float, float]:
    """The interval; where nothing could be resampled, all values: nothing is decided by a point."""
    low, high = e.interval(CONFIDENCE) or (float("-inf"), float("inf"))
    return low, high


def _shown(e: Estimate, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    interval = e.interval(CONFIDENCE)
    span = "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"
    return f"{e.value:{form}}{span}"
