"""Writes the tables of docs/results.md from a folder of finished studies, e.g. of `contextune reproduce all`:
scripts/results.py FOLDER [OTHER]; the table of a study that is not there stays as it is.

    <!-- study: augmented -->            every claim
    <!-- study: contrastive tested -->   claims with a verdict
    <!-- study: contrastive only low.* high.* -->   claims whose ids match
    <!-- study: synthesis arms listen -->    ids ARM.MEASURE as a table, a row an arm; all measures, or these
    <!-- study: contrastive by low high -->   ids MEASURE.ARM likewise, these measures
    <!-- other: synthesis arms listen -->    the same of OTHER, the folder of another model's studies
    <!-- beside: augmented reversal.* -->   claims whose ids match, with what OTHER has for them; a study that OTHER
                                            does not hold is left as it is

A table stands below its comment and is replaced as a whole; what stands around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from contextune_lab.papers.claims import Claim, value
from contextune_lab.papers.study import read

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
TABLE = re.compile(r"(<!-- study: ([\w-]+) ?([^\n]*?) ?-->\n\n?)((?:\|[^\n]*\n)*)")
OTHER = re.compile(TABLE.pattern.replace("study:", "other:"))
BESIDE = re.compile(TABLE.pattern.replace("study:", "beside:"))


def main(folder: str, other: str = "") -> None:
    def table(folder: str, found: re.Match[str]) -> str:
        comment, name, options, old = found.groups()
        study = read(Path(folder) / name / "study.json")
        if study is None:
            print(f"{folder}: no finished study {name}; its table stays as it is", file=sys.stderr)
            return found[0]
        return (
            comment.rstrip("\n") + "\n\n" + "\n".join(rows(study.claims, options.split())) + ("\n" if old else "\n\n")
        )

    def pair(found: re.Match[str]) -> str:
        comment, name, forms, old = found.groups()
        studies = [read(Path(f) / name / "study.json") for f in (folder, other)]
        if None in studies:
            return found[0]
        ours, theirs = ({c.id: c for c in s.claims} if s else {} for s in studies)
        return comment.rstrip("\n") + "\n\n" + "\n".join(beside(ours, theirs, forms.split())) + "\n" * (1 + (not old))

    text = TABLE.sub(partial(table, folder), PAGE.read_text())
    PAGE.write_text(BESIDE.sub(pair, OTHER.sub(partial(table, other), text)) if other else text)


def beside(ours: Mapping[str, Claim], theirs: Mapping[str, Claim], forms: Seq[str]) -> list[str]:
    """Rows of two models' claims: what the source says, and of each what was measured, with its verdict."""
    every = [*ours, *(i for i in theirs if i not in ours)]
    shown = [i for form in forms for i in every if fnmatch(i, form)]

    def cell(claim: Claim | None) -> str:
        if claim is None:
            return "–"
        return value(claim, 2) + ("" if claim.verdict == "measured" else f", {claim.verdict}")

    head = ["| id | the source says | pocket | SmolLM2 |", "| --- | --- | --- | --- |"]
    said = {i: (theirs.get(i) or ours[i]).paper for i in shown}
    return head + [f"| `{i}` | {said[i]} | {cell(ours.get(i))} | {cell(theirs.get(i))} |" for i in shown]


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
