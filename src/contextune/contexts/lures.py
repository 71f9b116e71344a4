"""Contexts that look alike and must not matter: the same said of others, before the record as it is.

    "Zate is less clean than Dropo. Trepa is less clean than Siku."      made up, context
    "Mifo is less clean than Droha."                                     the record, target

A model that has learned to look for its answer in the context takes whatever stands there in the right form. Here
what stands there is of the right form and about others, and only the weights know.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field

from ..errors import UserError
from ..sequence import Moment, Record
from .base import Context, Drawn, Scene, register
from .edits import editor
from .examples import Examples, Kind, Pick, Showing


class Inventor(Protocol):
    """An editor that can say the same of others."""

    def other(self, record: Record, rng: random.Random) -> Record | None: ...


@register
class Lures(Examples):
    """The same said of others, and random examples, before the record as it is."""

    name: ClassVar[str] = "lures"
    policy: Literal["lures"] = "lures"
    share: float = Field(
        0.5, ge=0, le=1, description="of slots that say the same of others; the rest are random examples"
    )
    editor: Literal["auto", "facts", "entities"] = Field(
        "auto", description="who says it: facts (worlds), entities (other names in real text)"
    )

    def kinds(self, n: int, rng: random.Random) -> Seq[Kind]:
        return ["random"] * n

    def bind(self, scene: Scene) -> Context:
        showing = self.showing(scene)
        if showing.pool is None:
            return Luring(self, showing, None)
        made: Any = editor(self.editor, showing.pool)
        if not hasattr(made, "other"):
            found = type(made).__name__.lower()
            raise UserError(f"context lures: the editor {found} cannot say the same of others", "editor: entities")
        return Luring(self, showing, made)


@dataclass(frozen=True)
class Luring:
    policy: Lures
    showing: Showing
    editor: Inventor | None

    def before(self, record: Record, at: Moment) -> Drawn:
        rng, policy, pool = at.rng("lures", record.id), self.policy, self.showing.pool
        assert self.editor is not None
        assert pool is not None
        n = policy.k if policy.fewest is None else rng.randint(policy.fewest, policy.k)
        wanted = sum(rng.random() < policy.share for _ in range(n))
        told = [made for _ in range(wanted) if (made := self.editor.other(record, rng)) is not None]
        picks = [Pick(other, "paraphrase", None) for other in told]
        near = pool.random(pool.row(record), n - len(picks), rng, policy.tau, [])
        picks += [Pick(pool.records[place], "random", s) for place, s in near]
        return self.showing.show(picks, rng, lures=len(told))

    def longest(self) -> int:
        return self.showing.longest()
