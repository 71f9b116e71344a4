"""What was inferred in a run: how much of it each filter let pass, what it looks like, and what of the tests it holds.

Read from `augmented/ARM.stage-I.json` (counts, filters, leak, precision) and `.jsonl` (the texts).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .looks import ArmLook
from .numbers import finite, num
from .read import Run, _json
from .tables import Cell, Column, Table, number

KEPT = 2
"""Kept texts that are shown of each operation."""
Account = dict[str, Any]


@dataclass(frozen=True)
class FilterStep:
    """One bar of the waterfall, in per cent of what was made: what stays, and what is refused here."""

    name: str
    stays: float
    refused: float
    text: str
    note: str


@dataclass(frozen=True)
class Said:
    """A made text beside its source."""

    text: str
    source: str
    note: str


@dataclass(frozen=True)
class Augmentation:
    """One stage of one arm."""

    look: ArmLook
    stage: str
    counts: Table
    steps: tuple[FilterStep, ...]
    kept: tuple[Said, ...]
    refused: tuple[tuple[str, int, tuple[Said, ...]], ...]
    """Of each filter's reason: "filter: reason", how many, samples."""
    exact: Table | None
    leak: Table | None
    mix: Table | None
    short: str


def augmentations(run: Run, looks: dict[str, ArmLook]) -> list[Augmentation]:
    """Of every stage that was augmented, by arm as the page has them. UserError where a file is broken."""
    found = []
    for path in (run.folder / "augmented").glob("*.stage-*.json"):
        if match := re.fullmatch(r"(.+)\.stage-(\d+)", path.stem):
            found.append((match[1], int(match[2]), path))
    order = {name: i for i, name in enumerate(looks)}
    found.sort(key=lambda f: (order.get(f[0], len(order)), f[0], f[1]))
    return [_augmentation(looks.get(arm) or ArmLook(arm, "au"), stage, path, run) for arm, stage, path in found]


def _augmentation(look: ArmLook, stage: int, path: Path, run: Run) -> Augmentation:
    account: Account = _json(path, dict)
    filters = _dicts(account.get("filters"))
    return Augmentation(
        look,
        str(stage),
        _counts(account, _tokens(run, look.name, stage)),
        tuple(_steps(account, filters)),
        tuple(_kept(account, path.with_suffix(".jsonl"))),
        tuple(_refused(filters)),
        _exact(account.get("exact")),
        _rows_of(account.get("leak"), "Task", ("items", "verbatim", "share", "answers")),
        _rows_of(account.get("mix"), "Group", ("records", "tokens", "share", "repeats")),
        _short(account.get("shortfall")),
    )


def _tokens(run: Run, arm: str, stage: int) -> dict[str, float]:
    """Trained tokens by operation: a made text's source in the accounting is "SOURCE+OPERATION"."""
    found: dict[str, float] = {}
    for row in run.accounting:
        source, plus, operation = str(row.get("source", "")).partition("+")
        if plus and source and row.get("arm") == arm and row.get("stage") == stage:
            found[operation] = found.get(operation, 0) + (finite(row.get("trained")) or 0)
    return found


def _counts(account: Account, tokens: dict[str, float]) -> Table:
    found = _mapping(account.get("by_operation"))
    rows = [(name, row.get("made"), row.get("kept"), tokens.get(name)) for name, row in found.items()]
    rows.append(("all", account.get("made"), account.get("kept"), sum(tokens.values()) if tokens else None))
    heads = (Column("Operation", numeric=False), *map(Column, ("Made", "Kept", "Tokens")))
    return Table(heads, tuple((Cell(name), *map(_whole, rest)) for name, *rest in rows))


def _whole(x: Any) -> Cell:
    value = finite(x)
    return number(None if value is None else int(value))


def _steps(account: Account, filters: list[Account]) -> Iterator[FilterStep]:
    made = finite(account.get("made")) or 0
    if not made or not filters:
        return
    yield FilterStep("made", 100.0, 0.0, num(int(made)), "")
    for f in filters:
        entered, left = (finite(f.get(key)) or 0 for key in ("in", "out"))
        lost = max(0.0, entered - left)
        stays, refused = (round(100 * min(x / made, 1), 3) for x in (left, lost))
        yield FilterStep(
            str(f.get("filter", "")), stays, refused, num(int(left)), f"−{num(int(lost))}" if lost else "all stay"
        )


def _exact(value: Any) -> Table | None:
    stages = {key: _mapping(value.get(key)) if isinstance(value, dict) else {} for key in ("made", "kept")}
    names = dict.fromkeys(name for found in stages.values() for name in found)
    keys = ("made", "right", "wrong", "open", "unread", "precision", "recall")
    rows = tuple(
        (Cell(name), Cell(f"as {when}"), *(number(found[name].get(k)) for k in keys))
        for name in names
        for when, found in stages.items()
        if name in found
    )
    heads = ("Texts", "Right", "Wrong", "Open", "Unread", "Precision", "Recall")
    columns = (Column("Operation", numeric=False), Column("When", numeric=False), *map(Column, heads))
    return Table(columns, rows) if rows else None


def _rows_of(value: Any, what: str, keys: tuple[str, ...]) -> Table | None:
    rows = tuple((Cell(name), *(number(row.get(k)) for k in keys)) for name, row in _mapping(value).items())
    return Table((Column(what, numeric=False), *(Column(k.capitalize()) for k in keys)), rows) if rows else None


def _short(value: Any) -> str:
    few = value.get("records") if isinstance(value, dict) else None
    if not isinstance(few, dict) or not few:
        return ""
    return f"{num(len(few))} records have fewer than {num(value.get('atleast'))} texts of their own."


def _refused(filters: list[Account]) -> Iterator[tuple[str, int, tuple[Said, ...]]]:
    for f in filters:
        reasons = f.get("reasons")
        for reason, n in (reasons if isinstance(reasons, dict) else {}).items():
            parts = [(s, str(s.get("reason", "")).partition(": ")) for s in _dicts(f.get("samples"))]
            own = tuple(_said(s, detail) for s, (sort, _, detail) in parts if sort == reason)
            yield f"{f.get('filter', '')}: {reason}", int(finite(n) or 0), own


def _said(sample: Account, note: str = "") -> Said:
    said = [str(sample.get("operation") or ""), note]
    return Said(str(sample.get("text") or ""), str(sample.get("source") or ""), " · ".join(s for s in said if s))


def _kept(account: Account, path: Path) -> Iterator[Said]:
    """The account's own samples, else the first texts of each operation; a row's `from` is its source's text."""
    yield from map(_said, _dicts(account.get("samples")))
    shown: dict[str, int] = {}
    for row in () if account.get("samples") else _rows(path):
        operation = str(row.get("operation"))
        if row.get("kept") and shown.get(operation, 0) < KEPT:
            shown[operation] = shown.get(operation, 0) + 1
            text = f"{row.get('prompt') or ''}{row.get('text') or ''}"
            yield _said({"text": text, "source": row.get("from") or row.get("source"), "operation": operation})


def _rows(path: Path) -> Iterator[Account]:
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:  # a line that was cut short says nothing
                    continue
                if isinstance(row, dict):
                    yield row


def _dicts(value: Any) -> list[Account]:
    return [x for x in value if isinstance(x, dict)] if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Account]:
    return {str(k): v for k, v in value.items() if isinstance(v, dict)} if isinstance(value, dict) else {}
