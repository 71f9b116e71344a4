"""The page of a run's inferred texts: each beside its source, with a person's decision on it.

Decisions are made in the page and given as the lines of `decisions.jsonl`, which the next run in the folder honours.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextune.core import decisions
from contextune.core.errors import UserError

from . import render
from .augmented import _rows

FILE = "augmented.html"
MOST = 2000
"""Texts in the page."""
LONGEST = 2000
"""Characters of a text."""


@dataclass
class MadeText:
    """One text, whichever arms have it."""

    id: str
    sum: str
    source: str
    text: str
    operation: str
    kept: bool = False
    arms: list[str] = field(default_factory=list)


def write(folder: Path) -> Path | None:
    """Write `folder`/augmented.html and return its path; None where nothing is inferred in that run."""
    folder = Path(folder)
    found = texts(folder)
    if not found:
        return None
    shown = list(found.values())[:MOST]
    html = render.page(
        "made_texts.html.jinja",
        scripts=("script.js", "decide.js", "made_texts.js"),
        title="Inferred texts",
        name=folder.resolve().name,
        texts=shown,
        total=len(found),
        kept=sum(t.kept for t in found.values()),
        operations=list(dict.fromkeys(t.operation for t in found.values())),
        arms=list(dict.fromkeys(arm for t in found.values() for arm in t.arms)),
        decided=json.dumps(_decided(folder / decisions.FILE)),
        identity=decisions.sum_of(str(folder.resolve())),
        folder=str(folder),
    )
    return render.save(folder / FILE, html)


def texts(folder: Path) -> dict[tuple[str, str], MadeText]:
    """All inferred texts of a run, each once, in the order in which they were made."""
    found: dict[tuple[str, str], MadeText] = {}
    for path in sorted((folder / "augmented").glob("*.stage-*.jsonl")):
        arm = re.sub(r"\.stage-\d+$", "", path.stem)
        for row in _rows(path):
            if not isinstance(row.get("id"), str):
                continue
            prompt, text = str(row.get("prompt") or ""), str(row.get("text") or "")
            key = row["id"], decisions.sum_of(prompt, text)
            source = str(row.get("from") or row.get("source") or "")
            made = found.setdefault(key, MadeText(*key, source, _cut(prompt + text), str(row.get("operation"))))
            made.kept |= bool(row.get("kept"))
            if arm not in made.arms:
                made.arms.append(arm)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _decided(file: Path) -> list[dict[str, Any]]:
    """Those in the folder; a file that is wrong is told by the run, not by its page."""
    try:
        return decisions.read(file, ("sum", "note"), ("accept", "reject"))
    except UserError:
        return []
