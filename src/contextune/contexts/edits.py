"""Edits: what could be otherwise in a record, changed the same way wherever it stands.

    input: send Kalo to Mido output: [to Mido, send Kalo].      an example, its order changed
    input: send Rune to Sede output: [send Rune, to Sede].      the record, its answer changed to match

An edited record cannot be answered from the weights, only from the edited example before it. An editor knows one
sort of record; `entities` and `labels` know real text, the others the language of the worlds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from ..errors import UserError
from ..retrieve import Pool
from ..sequence import Record, Segment

Name = Literal["auto", "facts", "slots", "cipher", "labels", "entities", "model"]


@dataclass(frozen=True, slots=True)
class Edit:
    """`asked` is learned; `telling` are examples of which at least one must stand before it, already edited.

    `rewrite` makes any other example agree with the edit; None where it cannot stand here.
    """

    asked: Record
    telling: tuple[Record, ...]
    rewrite: Callable[[Record], Record | None]
    what: Mapping[str, Any] = field(default_factory=dict)


class Editor(Protocol):
    """Edits records of one sort."""

    def edit(self, record: Record, rng: random.Random) -> Edit | None:
        """An edit of the record's answer; None where there is nothing that it could do."""
        ...

    def vary(self, record: Record, rng: random.Random) -> Record | None:
        """A near copy with one part replaced in input and answer alike, as true as the record: a paraphrase."""
        ...


def editor(name: str, pool: Pool) -> Editor:
    """The editor of a name, with `auto` the first that can edit most of the pool.

    Raises UserError where the one asked for can edit nothing there.
    """
    known = makers()
    for chosen in known if name == "auto" else (name,):
        made = known[chosen](pool)
        share = _share(made, pool)
        if share >= 0.5 or (share and (name != "auto" or chosen == "entities")):
            return made
    raise UserError(
        f"context edited: editor {name} finds nothing to edit in {len(pool.records)} records",
        "pairs need few different answers (labels), or capitalised names that several records share (entities)",
    )


def makers() -> dict[str, Callable[[Pool], Editor]]:
    """Editors by name, the most particular first."""
    from .entities import Entities, Labels
    from .grammar import Cipher, Facts, Slots

    return {"facts": Facts, "slots": Slots, "cipher": Cipher, "labels": Labels, "entities": Entities}


def _share(editor: Editor, pool: Pool, most: int = 60) -> float:
    """How many of the pool's first records it can edit."""
    sample = pool.records[:most]
    return sum(editor.edit(r, random.Random(0)) is not None for r in sample) / max(1, len(sample))


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
