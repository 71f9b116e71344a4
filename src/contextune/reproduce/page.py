"""The page of one study or of all: what was claimed, what came out, what it looks like."""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..errors import UserError
from ..report import render
from .claims import Claim, Figure, Study

ACTIVE = re.compile(r"<\s*(script|foreignObject|iframe|image)|\son\w+\s*=|javascript:|href\s*=\s*[\"']https?:", re.I)


def write(out: Path, studies: Seq[Study], title: str, pending: Seq[str] = ()) -> Path:
    """One HTML file that opens from the disk. `pending` names studies that have not been run yet."""
    out.parent.mkdir(parents=True, exist_ok=True)
    views = [_view(s) for s in studies]
    return render.save(out, render.page("studies.html.jinja", studies=views, title=title, pending=list(pending)))


def _view(study: Study) -> dict[str, Any]:
    tested = [c for c in study.claims if c.verdict in ("holds", "fails")]
    return {
        "study": study,
        "held": sum(c.verdict == "holds" for c in tested),
        "tested": len(tested),
        "claims": [_row(c) for c in study.claims],
        "figures": [{"figure": f, "svg": drawing(f)} for f in study.figures],
        "minutes": f"{study.seconds / 60:.1f} min",
    }


def _row(claim: Claim) -> dict[str, Any]:
    """`low`, `high` and `at` are places on a line from 0 to 1 in per cent, where the value is a share."""
    low, high = claim.interval or (claim.measured, claim.measured)
    row: dict[str, Any] = {"claim": claim, "kind": claim.verdict.replace(" ", "-"), "at": None, "signed": False}
    if claim.measured is not None and low is not None and high is not None and low >= -1 and high <= 1:
        scale = (lambda x: 100 * x) if low >= 0 else (lambda x: 50 + 50 * x)
        row |= {"at": scale(claim.measured), "low": scale(low), "high": scale(high), "signed": low < 0}
    return row


def drawing(figure: Figure) -> Markup:
    """A study's own picture, as it is; UserError where it could run something or reach out."""
    svg = figure.svg[figure.svg.find("<svg") :]
    if not svg.startswith("<svg") or ACTIVE.search(svg):
        raise UserError(f"figure '{figure.title}': no plain SVG", "draw it without scripts, links or embedded pages")
    return Markup(svg)
