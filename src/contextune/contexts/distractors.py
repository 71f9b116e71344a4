"""Distractors: contexts that look alike and must not matter, since they say the same of others.

    "Zate is less clean than Dropo. Trepa is less clean than Siku."      made up, context
    "Mifo is less clean than Droha."                                     the record, target

A model that has learned to look for its answer in the context takes whatever stands there in the right form. Here
what stands there is of the right form and about others, and only the weights know.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record

from .editing.base import DistractorEditor, open_editor
from .examples import Examples, Pick, Showing, SlotKind
from .policy import BoundPolicy, ContextDraw


@registry.policies("distractors")
class Distractors(Examples):
    """The same said of others, and random examples, before the record as it is."""

    draws_as: ClassVar[str] = "lures"
    share: float = Field(
        0.5, ge=0, le=1, description="of slots that say the same of others; the rest are random examples"
    )
    editor: Literal["auto", "facts", "entities"] = Field(
        "auto", description="who says it: facts (worlds), entities (other names in real text)"
    )

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        return ["random"] * n

    def bind(self, context: BindContext) -> BoundPolicy:
        showing = self.showing(context)
        editor = open_editor(self.editor, showing.pool, context)
        if not isinstance(editor, DistractorEditor):
            raise UserError(
                f"context distractors: the editor {editor.name} cannot say the same of others", "editor: entities"
            )
        return Distracting(self, showing, editor)


@dataclass(frozen=True)
class Distracting(BoundPolicy):
    policy: Distractors
    showing: Showing
    editor: DistractorEditor

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        rng, policy, pool = key.rng("lures", record.id), self.policy, self.showing.pool
        n = policy.k if policy.min_k is None else rng.randint(policy.min_k, policy.k)
        wanted = sum(rng.random() < policy.share for _ in range(n))
        told = [made for _ in range(wanted) if (made := self.editor.other(record, rng)) is not None]
        picks = [Pick(other, "paraphrase", None) for other in told]
        near = pool.random(pool.row(record), n - len(picks), rng, policy.max_random_similarity, [])
        picks += [Pick(pool.records[place], "random", s) for place, s in near]
        return self.showing.show(picks, rng, distractors=len(told))
