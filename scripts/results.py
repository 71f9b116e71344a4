"""Writes the tables of docs/results.md from the folder of `contextune reproduce all`: scripts/results.py FOLDER

    <!-- study: augmented -->            every claim
    <!-- study: contrastive tested -->   claims with a verdict
    <!-- study: contrastive only low.* high.* -->   claims whose ids match
    <!-- study: synthesis matrix -->     ids ARM.MEASURE as a table of arms by measures

A table stands below its comment and is replaced as a whole; what stands around it is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
TABLE = re.compile(r"(<!-- study: ([\w-]+) ?([^\n]*?) ?-->\n\n?)((?:\|[^\n]*\n)*)")

Claim = dict[str, Any]


def main(folder: str) -> None:
    def table(found: re.Match[str]) -> str:
        comment, name, options, _ = found.groups()
        claims = json.loads((Path(folder) / name / "study.json").read_text())["claims"]
        return comment.rstrip("\n") + "\n\n" + "\n".join(rows(claims, options.split())) + "\n"

    PAGE.write_text(TABLE.sub(table, PAGE.read_text()))


def rows(claims: list[Claim], options: list[str]) -> list[str]:
    if options[:1] == ["matrix"]:
        return matrix(claims)
    if options[:1] == ["tested"]:
        claims = [c for c in claims if c["verdict"] != "measured"]
    if options[:1] == ["only"]:
        claims = [c for c in claims if any(fnmatch(c["id"], form) for form in options[1:])]
    head = ["| id | the source says | measured | verdict |", "| --- | --- | --- | --- |"]
    return head + [f"| `{c['id']}` | {c['paper']} | {value(c)} | {verdict(c)} |" for c in claims]


def matrix(claims: list[Claim]) -> list[str]:
    cells = {tuple(c["id"].rsplit(".", 1)): value(c) for c in claims if c["interval"]}
    arms, measures = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    head = ["| arm | " + " | ".join(measures) + " |", "| --- " * (len(measures) + 1) + "|"]
    return head + [f"| {arm} | " + " | ".join(cells.get((arm, m), "") for m in measures) + " |" for arm in arms]


def value(claim: Claim) -> str:
    if claim["measured"] is None:
        return "–"
    low_high = claim["interval"]
    return f"{claim['measured']:.3f}" + (f" [{low_high[0]:.3f}, {low_high[1]:.3f}]" if low_high else "")


def verdict(claim: Claim) -> str:
    tested = claim["verdict"] in ("holds", "fails") and re.match(r"[+-]\d", claim["why"])
    return f"{claim['verdict']}: {claim['why']}" if tested else claim["verdict"]


if __name__ == "__main__":
    main(*sys.argv[1:])
