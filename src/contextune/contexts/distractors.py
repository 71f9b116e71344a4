"""Distractors: contexts that look alike and must not matter, since they say the same of others.

    "Zate is less clean than Dropo. Trepa is less clean than Siku."      made up, context
    "Mifo is less clean than Droha."                                     the record, target

A model that has learned to look for its answer in the context takes whatever stands there in the right form. Here
what stands there is of the right form and about others, and only the weights know.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record

from .editing.base import DistractorEditor, answered, open_editor, refuse_few
from .examples import Pick, Showing, SlotKind
from .policy import BoundPolicy, ContextDraw, Share
from .with_editor import WithEditor


@registry.policies("distractors")
class Distractors(WithEditor):
    """The same said of others, and random examples, before the record as it is."""

    draws_as: ClassVar[str] = "lures"
    share: float = Field(
        0.5, ge=0, le=1, description="of slots that say the same of others; the rest are random examples"
    )
    editor: Literal["auto", "facts", "values"] = Field(
        "auto", description="who says it: facts (worlds), values (other names and values in real text)"
    )
    min_edited: float = Field(
        0.5, ge=0, le=1, description="smallest share of the rows that can be said of others; fewer are refused"
    )

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        return ["random"] * n

    def bind(self, context: BindContext) -> BoundPolicy:
        showing = self.showing(context)
        editor = open_editor(self.editor, showing.pool, context, (), self.database_path)
        if not isinstance(editor, DistractorEditor):
            raise UserError(
                f"context distractors: the editor {editor.name} cannot say the same of others", "editor: values"
            )
        can = refuse_few(
            showing.rows,
            lambda r: editor.other(r, random.Random(0)) is not None,
            self.min_edited,
            f"context {self.name}: the editor {editor.name}",
            "lower min_edited to show the others random examples, or use the policy random",
        )
        if can < 0.9:
            context.warn(
                f"context {self.name}: the editor {editor.name} can say about {can:.0%} of the rows of others; "
                "the other rows have random examples alone"
            )
        return Distracting(self, showing, editor, can)


@dataclass(frozen=True)
class Distracting(BoundPolicy):
    policy: Distractors
    showing: Showing
    editor: DistractorEditor
    can: float
    """Share of the rows that can be said of others."""

    def shares(self) -> tuple[Share, ...]:
        return (Share("distractors", self.policy.share, self.policy.share * self.can),)

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        rng, policy, pool = key.rng("lures", record.id), self.policy, self.showing.pool
        n = policy.k if policy.min_k is None else rng.randint(policy.min_k, policy.k)
        wanted = sum(rng.random() < policy.share for _ in range(n))
        told = [made for _ in range(wanted) if (made := self.editor.other(record, rng)) is not None]
        picks = [Pick(other, "paraphrase", None) for other in told]
        near = pool.random(pool.row(record), n - len(picks), rng, policy.max_random_similarity, [])
        picks += [Pick(pool.records[place], "random", s) for place, s in near]
        drawn = self.showing.show(picks, rng, distractors=len(told))
        shown = [other for other in told if other.id in drawn.provenance["examples"]]
        return replace(drawn, rejected=answered(record, rng.choice(shown)) if shown else ())
