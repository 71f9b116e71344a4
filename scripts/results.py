"""Writes the tables of docs/results.md from the folder of `contextune reproduce all`: scripts/results.py FOLDER

    <!-- study: augmented -->            every claim
    <!-- study: contrastive tested -->   claims with a verdict
    <!-- study: contrastive only low.* high.* -->   claims whose ids match
    <!-- study: synthesis arms listen -->    ids ARM.MEASURE as a table, a row an arm; all measures, or these
    <!-- study: contrastive by low high -->   ids MEASURE.ARM likewise, these measures

A table stands below its comment and is replaced as a whole; what stands around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence as Seq
from fnmatch import fnmatch
from pathlib import Path

from contextune_lab.papers.claims import Claim, value
from contextune_lab.papers.study import read

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
TABLE = re.compile(r"(<!-- study: ([\w-]+) ?([^\n]*?) ?-->\n\n?)((?:\|[^\n]*\n)*)")


def main(folder: str) -> None:
    def table(found: re.Match[str]) -> str:
        comment, name, options, old = found.groups()
        study = read(Path(folder) / name / "study.json")
        if study is None:
            sys.exit(f"{folder}: no finished study {name}")
        return (
            comment.rstrip("\n") + "\n\n" + "\n".join(rows(study.claims, options.split())) + ("\n" if old else "\n\n")
        )

    PAGE.write_text(TABLE.sub(table, PAGE.read_text()))


def rows(claims: Seq[Claim], options: list[str]) -> list[str]:
    match options:
        case ["arms", *measures]:
            cells = {tuple(c.id.rsplit(".", 1)): c for c in claims if c.interval}
            return grid({key: c for key, c in cells.items() if not measures or key[1] in measures})
        case ["by", *measures]:
            cells = {tuple(c.id.split(".", 1)[::-1]): c for c in claims if c.interval and c.id.count(".") == 1}
            return grid({key: cells[key] for m in measures for key in cells if key[1] == m})
        case ["tested"]:
            claims = [c for c in claims if c.verdict != "measured"]
        case ["only", *forms]:
            claims = [c for c in claims if any(fnmatch(c.id, form) for form in forms)]
    head = ["| id | the source says | measured | verdict |", "| --- | --- | --- | --- |"]
    return head + [f"| `{c.id}` | {c.paper} | {value(c)} | {verdict(c)} |" for c in claims]


def grid(cells: dict[tuple[str, ...], Claim]) -> list[str]:
    """Two figures after the point: a wide table is to be read, not to be copied from."""
    arms, measures = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    head = ["| arm | " + " | ".join(measures) + " |", "| --- " * (len(measures) + 1) + "|"]
    shown = {key: value(c, 2) for key, c in cells.items()}
    return head + [f"| {arm} | " + " | ".join(shown.get((arm, m), "") for m in measures) + " |" for arm in arms]


def verdict(claim: Claim) -> str:
    tested = claim.verdict in ("holds", "fails", "not shown") and re.search(r"[+-]?\d", claim.why)
    return f"{claim.verdict}: {claim.why}" if tested else claim.verdict


if __name__ == "__main__":
    main(*sys.argv[1:])
