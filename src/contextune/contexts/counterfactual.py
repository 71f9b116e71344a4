"""Contexts that disagree with the weights: edited examples, and a target that was edited to match.

A context that only repeats what the weights know is soon ignored. Here what precedes a record was changed, and
the record's answer with it, so that nothing but the context tells the answer. A share of the rows is edited
each epoch, drawn anew; the others are what another policy makes of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Tokenizer
from contextune.retrieval import Pool, given

from .editing.base import Edit, Editor, EditorName, answered, open_editor, refuse_few
from .examples import Pick, Showing, SlotKind
from .none import NoContext
from .policy import BoundPolicy, ContextDraw, PolicyOption, Share
from .with_editor import WithEditor


@registry.policies("counterfactual")
class Counterfactual(WithEditor):
    """Edited examples before an edited record."""

    draws_as: ClassVar[str] = "edited"
    share: float = Field(0.4, ge=0, le=1, description="of the rows, drawn anew each epoch")
    otherwise: PolicyOption = Field(default_factory=NoContext, description="the policy of the other rows")
    editor: EditorName = Field(
        "auto",
        description="what is edited: facts, slots, cipher (worlds), labels, values; model: another answer that the "
        "writer makes up",
    )

    min_edited: float = Field(
        0.5, ge=0, le=1, description="smallest share of the rows that can be edited; fewer are refused"
    )

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        return ["random"] * n

    def max_context_tokens(self, tokenizer: Tokenizer) -> int | None:
        own, other = super().max_context_tokens(tokenizer), self.otherwise.max_context_tokens(tokenizer)
        return None if own is None or other is None else max(own, other)

    def bind(self, context: BindContext) -> BoundPolicy:
        showing = self.showing(context)
        rows = [r for r in context.records if self.is_target(r)]
        editor = open_editor(self.editor, showing.pool, context, rows, self.database_path)
        can = refuse_few(
            rows,
            lambda r: editor.edit(r, random.Random(0)) is not None,
            self.min_edited,
            f"context {self.name}: the editor {editor.name}",
            f"lower min_edited to train the others with the policy {self.otherwise.name}, let a writer edit (editor: "
            "model), name another editor, or leave this policy out",
        )
        if can < 0.9:
            context.warn(
                f"context {self.name}: the editor {editor.name} can edit about {can:.0%} of the rows; "
                f"the policy {self.otherwise.name} takes the others"
            )
        return Editing(self, showing, editor, self.otherwise.bind(context), can)


@dataclass(frozen=True)
class Editing(BoundPolicy):
    policy: Counterfactual
    showing: Showing
    editor: Editor
    otherwise: BoundPolicy
    can: float
    """Share of the rows that can be edited."""

    def shares(self) -> tuple[Share, ...]:
        """`min_edited` has refused too few edits; the other policy has the other rows."""
        rest = 1 - self.policy.share * self.can
        edited = Share("edited", self.policy.share, self.policy.share * self.can)
        return (edited, *(share.of(rest) for share in self.otherwise.shares()))

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        rng = key.rng("edited", record.id)
        edit = self.editor.edit(record, rng) if rng.random() < self.policy.share else None
        return self._drawn(record, edit, rng) if edit is not None else self.otherwise.draw(record, key)

    def _drawn(self, record: Record, edit: Edit, rng: random.Random) -> ContextDraw:
        """What tells the answer, and others that agree with it."""
        pool, policy = self.showing.pool, self.policy
        n = policy.k if policy.min_k is None else rng.randint(max(policy.min_k, len(edit.telling)), policy.k)
        picks = [Pick(r, "similar", pool.space.outside(pool.row(record), given(r))) for r in edit.telling]
        barred = {told.id.partition("~")[0] for told in edit.telling}
        for place, s in self._others(pool, record, 3 * n, rng):
            other = pool.records[place]
            made = edit.rewrite(other) if len(picks) < n and other.id not in barred else None
            if made is not None:
                picks.append(Pick(made, "random", s))
        drawn = self.showing.show(picks, rng, edit.asked, edit=dict(edit.what))
        return replace(drawn, rejected=answered(edit.asked, record))

    def _others(self, pool: Pool, record: Record, n: int, rng: random.Random) -> list[tuple[int, float]]:
        return pool.random(pool.row(record), n, rng, self.policy.max_random_similarity)
