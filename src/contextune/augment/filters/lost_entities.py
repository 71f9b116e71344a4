"""Names and numbers of the passage that a text about it leaves out.

A sentence that is turned round or said in other words keeps them all; a small writer often loses one ("The lighthouse
is the creator of the lighthouse."). For operations that draw one conclusion from a long passage it asks too much.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred
from .base import Filter, Judge
from .text import as_number, tokens, whole, words
from .unsupported_entities import entities


@registry.filters("lost_entities")
class LostEntities(Filter):
    """Refuses a text that leaves out more than `allowed` names and numbers of its passage."""

    allowed: int = Field(0, ge=0, le=1000, description="names and numbers of the passage that a text may lack")

    def bind(self, context: BindContext) -> Judge:
        common = {t for r in context.records for t in tokens(r.text) if t.islower()}

        def judge(made: Seq[Inferred]) -> list[str]:
            return [self._reason(m, common) for m in made]

        return judge

    def _reason(self, made: Inferred, common: set[str]) -> str:
        said = {as_number(w).removesuffix("'s").removesuffix("\u2019s") for w in words(whole(made))}
        lost = [e for e in dict.fromkeys(entities(made.passage.text, common)) if as_number(e.casefold()) not in said]
        return f"lacks what its passage names: {', '.join(lost)}" if len(lost) > self.allowed else ""
