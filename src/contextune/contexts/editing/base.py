"""Edits: what could be otherwise in a record, changed the same way wherever it stands.

    input: send Kalo to Mido output: [to Mido, send Kalo].      an example, its order changed
    input: send Rune to Sede output: [send Rune, to Sede].      the record, its answer changed to match

An edited record cannot be answered from the weights, only from the edited example before it. An editor knows one
sort of record; `values` and `labels` know real text, the others the language of the worlds.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.options import name_in
from contextune.core.sequence import Record, Segment
from contextune.retrieval import Pool

EditorName = Annotated[str, name_in(registry.editors, "auto")]
"""auto, or the name of an editor."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`asked` is learned; `telling` are examples of which at least one must precede it, already edited.

    `rewrite` makes any other example agree with the edit; None where it cannot stand here.
    """

    asked: Record
    telling: tuple[Record, ...]
    rewrite: Callable[[Record], Record | None]
    what: Mapping[str, Any] = field(default_factory=dict)


def answered(record: Record, other: Record) -> tuple[Segment, ...]:
    """The segments of `record` with the answer of `other` in the answer's place; empty where that is the same."""
    if record.target == other.target:
        return ()
    kept = tuple(s for s in record.segments if s.role == "context")
    return (*kept, *(s for s in other.segments if s.role == "target"))


class Editor(ABC):
    """Edits records of one sort."""

    name: ClassVar[str]
    generality: ClassVar[int | None] = 0
    """`auto` tries the least general first; None: only where it is named."""
    last_resort: ClassVar[bool] = False
    """`auto` takes it although it can edit few of the records."""
    database: Path | None = None
    """The sqlite file in which edited queries must run."""

    @classmethod
    @abstractmethod
    def of(cls, pool: Pool, context: BindContext, rows: Seq[Record]) -> Self:
        """The editor for a pool and the rows that are trained on. Raises UserError."""

    @abstractmethod
    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        """An edit of the record's answer; None where there is nothing that it could do."""

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """A near copy with one part replaced in input and answer alike, as true as the record: a paraphrase."""
        return None


class DistractorEditor(Editor):
    """An editor that can say the same of others."""

    @abstractmethod
    def other(self, record: Record, rng: random.Random) -> Record | None:
        """The record's statement about somebody else; None where it has none."""


def open_editor(
    name: str, pool: Pool, context: BindContext, rows: Seq[Record] = (), database: Path | None = None
) -> Editor:
    """The editor of a name, with `auto` the least general that can edit half of the pool.

    Queries that it edits must run in `database`, where one is given.

    Raises UserError where the one asked for can edit nothing there.
    """
    if name != "auto" and registry.editors.find(name).generality is None:
        named: Editor = registry.editors.find(name).of(pool, context, rows)
        return named
    for chosen in _by_generality() if name == "auto" else (name,):
        made: Editor = registry.editors.find(chosen).of(pool, context, rows)
        if database is not None:
            made.database = database
        share = _share(made, pool)
        if share >= 0.5 or (share and (name != "auto" or made.last_resort)):
            return made
    raise UserError(
        f"context counterfactual: editor {name} finds nothing to edit in {len(pool.records)} records",
        "pairs need few different answers (labels), or values that input and answer share and that other rows have too "
        "(values)",
    )


def _by_generality() -> list[str]:
    known = [(e.generality, name) for name, e in registry.editors.items() if e.generality is not None]
    return [name for _, name in sorted(known)]


def _share(editor: Editor, pool: Pool, most: int = 60) -> float:
    """How many of the pool's first records it can edit."""
    sample = pool.records[:most]
    return sum(editor.edit(r, random.Random(0)) is not None for r in sample) / max(1, len(sample))


MOST = 2000
"""Rows that are tried where it is counted what can be done."""


def editable(rows: Seq[Record], able: Callable[[Record], bool]) -> tuple[int, int]:
    """Of how many rows (all, or so many evenly spaced) something can be made, and how many were tried."""
    tried = rows[:: max(1, -(-len(rows) // MOST))]
    return sum(map(able, tried)), len(tried)


def refuse_few(rows: Seq[Record], able: Callable[[Record], bool], least: float, what: str, hint: str) -> float:
    """The share of the rows that can be edited. UserError, with the share, where it is below `least`."""
    count, tried = editable(rows, able)
    if count < least * tried:
        of = f"{tried:,} rows" if tried == len(rows) else f"{tried:,} rows that were tried"
        raise UserError(
            f"{what} can edit {count:,} of {of} ({count / tried:.0%}), min_edited is {least:.0%}; what cannot be "
            "edited safely is left as it is",
            hint,
        )
    return count / max(1, tried)


def swapped(record: Record, **segments: Callable[[str], str]) -> Record:
    """The record with its contexts and targets rewritten."""
    same: Callable[[str], str] = lambda text: text  # noqa: E731
    made = tuple(Segment(segments.get(s.role, same)(s.text), s.role) for s in record.segments)
    return replace(record, segments=made)


def others(rng: random.Random, values: Seq[str], without: Seq[str]) -> str | None:
    """One of the values that is none of `without`."""
    barred = set(without)
    left = [v for v in values if v not in barred]
    return rng.choice(left) if left else None
