"""The page of one study or of all: what was claimed, what came out, what it looks like."""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from contextune.core.errors import UserError
from contextune.report import render

from .claims import TESTED, Claim, Figure, Study, tally

ACTIVE = re.compile(r"<\s*(script|foreignObject|iframe|image)|\son\w+\s*=|javascript:|href\s*=\s*[\"']https?:", re.I)
VERDICTS = ("holds", "fails", "not shown", "not testable", "measured")
FURTHEST = 2.0
"""Values beyond this, either side of zero, are drawn at the end of the line."""


@dataclass(frozen=True)
class PageLine:
    """The scale that all values of a study are drawn on, in per cent of its width."""

    low: float
    high: float

    @classmethod
    def of(cls, claims: Seq[Claim]) -> PageLine:
        """From 0 to 1, and as far beyond as the values go, in steps of a half."""
        ends = [v for c in claims for v in (c.measured, *(c.interval or ()), c.theirs) if v is not None]
        low, high = min([0.0, *ends]), max([1.0, *ends])
        return cls(max(-FURTHEST, int(2 * low - 0.999) / 2), min(FURTHEST, int(2 * high + 0.999) / 2))

    def at(self, value: float) -> float:
        return round(100 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low), 2)

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Zero, one and the ends."""
        known = sorted({self.low, 0.0, 1.0, self.high})
        return [(self.at(v), f"{v:g}".replace("-", "−")) for v in known]


def write(out: Path, studies: Seq[Study], title: str, pending: Seq[str] = ()) -> Path:
    """One HTML file that opens from the disk. `pending` names studies that have not been run yet."""
    out.parent.mkdir(parents=True, exist_ok=True)
    views = [_view(s) for s in studies]
    counts = {v: sum(view["counts"][v] for view in views) for v in VERDICTS}
    claims = [c for s in studies for c in s.claims]
    largest = max((sum(view["counts"].values()) for view in views), default=1)
    html = render.page(
        "studies.html.jinja",
        studies=views,
        counts=counts,
        sides=_sides(claims),
        largest=largest,
        title=title,
        pending=list(pending),
    )
    return render.save(out, html)


def _sides(claims: Seq[Claim]) -> dict[str, dict[str, Any]]:
    """By who claims it: how many were tested, how many of them hold, and all verdicts in words."""
    return {
        whose: {
            "holds": sum(c.verdict == "holds" for c in claims if c.whose == whose),
            "tested": sum(c.verdict in TESTED for c in claims if c.whose == whose),
            "told": tally(claims, whose),
        }
        for whose in ("paper", "ours")
    }


def _view(study: Study) -> dict[str, Any]:
    """A study's claims in two lists: those that are tested, and figures of which nothing is claimed."""
    line = PageLine.of(study.claims)
    rows = [_row(c, line) for c in study.claims]
    return {
        "study": study,
        "counts": {v: sum(c.verdict == v for c in study.claims) for v in VERDICTS},
        "sides": _sides(study.claims),
        "line": line,
        "claims": [r for r in rows if r["claim"].verdict != "measured"],
        "measured": [r for r in rows if r["claim"].verdict == "measured"],
        "figures": [{"figure": f, "svg": drawing(f), "laid": laid(f.svg)} for f in study.figures],
        "minutes": f"{study.seconds / 60:.1f} minutes",
    }


def _row(claim: Claim, line: PageLine) -> dict[str, Any]:
    """`low`, `high`, `at` and `theirs` are places on the line, in per cent."""
    row: dict[str, Any] = {"claim": claim, "kind": claim.verdict.replace(" ", "-"), "at": None, "theirs": None}
    if claim.measured is not None:
        low, high = claim.interval or (claim.measured, claim.measured)
        row |= {"at": line.at(claim.measured), "low": line.at(low), "high": line.at(high)}
    if claim.theirs is not None:
        row["theirs"] = line.at(claim.theirs)
    return row


def laid(svg: str) -> str:
    """How a figure's plates stand: alone, in pairs where threes leave a gap, else as many as there is room for."""
    widths = [float(w) for w in re.findall(r'<svg[^>]*viewBox="0 0 ([\d.]+)', svg)]
    if len(widths) == 1 and widths[0] < 400:
        return "single"
    return "pairs" if len(widths) % 2 == 0 and len(widths) % 3 else ""


def drawing(figure: Figure) -> Markup:
    """A study's own pictures, as they are; UserError where they could run something or reach out."""
    svg = figure.svg[figure.svg.find("<svg") :]
    if not svg.startswith("<svg") or ACTIVE.search(svg):
        raise UserError(f"figure '{figure.title}': no plain SVG", "draw it without scripts, links or embedded pages")
    return Markup(svg)
