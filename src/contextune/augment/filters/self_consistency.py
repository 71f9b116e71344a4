"""What several answers agree on: right texts repeat each other, wrong ones differ.

Self-consistency (Wang et al. 2023, arXiv 2203.11171) with whole texts as the answers: the same said in several
wordings, or one passage answered several times, should lead to the same text.

    Kivo is longer than Gota.              the fact in three wordings, reversed
    note that Kivo is longer than Gota.    Gota is less long than Kivo.     twice: kept
    some say that Kivo is longer …         Gota is longer than Kivo.        once: left out
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Seq

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred
from .base import Filter, Judge
from .text import normal, whole


@registry.filters("self_consistency")
class SelfConsistency(Filter):
    """Keeps a text where an operation made it `least` times; where texts are told once and answered once, none."""

    least: int = Field(2, ge=2, le=1000, description="times that a text must have been inferred")

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            said = [(m.operation, normal(whole(m))) for m in made]
            times = Counter(said)
            return ["" if times[s] >= self.least else f"made {times[s]} of {self.least} times" for s in said]

        return judge
