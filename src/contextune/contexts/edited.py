"""Contexts that disagree with the weights: edited examples, and a target that was edited to match.

A context that only repeats what the weights know is soon ignored. Here what stands before a record was changed, and
the record's answer with it, so that nothing but the context tells the answer. A share of the rows is edited
each epoch, drawn anew; the others are what another policy makes of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from ..retrieve import Pool
from ..sequence import Moment, Record
from .base import Context, Drawn, Inner, Scene, register
from .edits import Edit, Editor, Name, editor
from .examples import Examples, Kind, Pick, Showing
from .invented import invented
from .nothing import Nothing

NOTHING = Nothing()


@register
class Edited(Examples):
    """Edited examples before an edited record."""

    name: ClassVar[str] = "edited"
    policy: Literal["edited"] = "edited"
    share: float = Field(0.4, ge=0, le=1, description="of the rows, drawn anew each epoch")
    otherwise: Inner = Field(NOTHING, description="the policy of the other rows")
    editor: Name = Field(
        "auto",
        description="what is edited: facts, slots, cipher (worlds), labels, entities; model: "
        "another answer that the writer invents",
    )

    def kinds(self, n: int, rng: random.Random) -> Seq[Kind]:
        return ["random"] * n

    def sources(self) -> tuple[str, ...]:
        return (*super().sources(), *self.otherwise.sources())

    def trains(self, record: Record) -> bool:
        return super().trains(record) and bool(self.otherwise.trains(record))

    def content(self, folder: object) -> object:
        return self.otherwise.content(folder)

    def bind(self, scene: Scene) -> Context:
        showing, otherwise = self.showing(scene), self.otherwise.bind(scene)
        if showing.pool is None:
            return Editing(self, showing, None, otherwise)
        rows = [r for r in scene.records if self.trains(r)]
        made = invented(rows, scene) if self.editor == "model" else editor(self.editor, showing.pool)
        sample = rows[:: max(1, len(rows) // 200)]
        can = sum(made.edit(r, random.Random(0)) is not None for r in sample) / len(sample)
        if can < 0.9 and scene.warn is not None:
            scene.warn(
                f"context edited: {type(made).__name__.lower()} can edit about {can:.0%} of the rows; "
                f"the others are left to {self.otherwise.policy}"
            )
        return Editing(self, showing, made, otherwise)


@dataclass(frozen=True)
class Editing:
    policy: Edited
    showing: Showing
    editor: Editor | None
    otherwise: Context

    def before(self, record: Record, at: Moment) -> Drawn:
        rng = at.rng("edited", record.id)
        edit = self.editor.edit(record, rng) if self.editor and rng.random() < self.policy.share else None
        return self._drawn(record, edit, rng) if edit is not None else self.otherwise.before(record, at)

    def longest(self) -> int:
        return max(self.showing.longest(), self.otherwise.longest())

    def _drawn(self, record: Record, edit: Edit, rng: random.Random) -> Drawn:
        """What tells the answer, and others that agree with it."""
        pool, policy = self.showing.pool, self.policy
        assert pool is not None
        n = policy.k if policy.fewest is None else rng.randint(max(policy.fewest, len(edit.telling)), policy.k)
        picks = [Pick(r, "similar", pool.space.outside(pool.row(record), _input(r))) for r in edit.telling]
        barred = {told.id.partition("~")[0] for told in edit.telling}
        for place, s in self._others(pool, record, 3 * n, rng):
            other = pool.records[place]
            made = edit.rewrite(other) if len(picks) < n and other.id not in barred else None
            if made is not None:
                picks.append(Pick(made, "random", s))
        return self.showing.show(picks, rng, edit.asked, edit=dict(edit.what))

    def _others(self, pool: Pool, record: Record, n: int, rng: random.Random) -> list[tuple[int, float]]:
        return pool.random(pool.row(record), n, rng, self.policy.tau)


def _input(record: Record) -> str:
    from ..retrieve import given

    return given(record)
