"""The way back: the reverse of a reversal should say what its source says."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from difflib import SequenceMatcher

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError

from ..base import Inferred
from .base import Filter, Judge
from .text import names, normal, sentences, whole, words


@registry.filters("round_trip")
class RoundTrip(Filter):
    """Applies `operation` to each text that an operation named in `of` made, and compares with the passage.

    Alike is the part of the answer's words that stand in the passage in their order (what leads a sentence in, such as
    "did you know that", is thereby no difference); the answer must also name all that the made text names. Texts of
    other operations stay.
    """

    operation: str = Field("reversal", description="the inverse operation")
    of: tuple[str, ...] = Field(("reversal",), description="operations whose texts are sent back")
    threshold: float = Field(0.9, gt=0, le=1, description="share of the words that must come back")

    def bind(self, context: BindContext) -> Judge:
        if context.apply is None:
            raise UserError("the filter 'round_trip' needs a writer", "leave it out where none is asked")
        ask = context.apply

        def judge(made: Seq[Inferred]) -> list[str]:
            sent = [i for i, m in enumerate(made) if m.operation.partition("/")[0] in self.of]
            answers = dict(zip(sent, ask([made[i] for i in sent], self.operation), strict=True)) if sent else {}
            return [self._reason(m, answers[i]) if i in answers else "" for i, m in enumerate(made)]

        return judge

    def _reason(self, made: Inferred, answer: str | None) -> str:
        if answer is None or not answer.strip():
            return "no answer on the way back"
        if set(names(whole(made))) - set(names(answer)):
            return f"names are lost on the way back: {answer.strip()}"
        found = alike(answer, made.passage.text)
        return "" if found >= self.threshold else f"another text on the way back: {answer.strip()}"


def alike(answer: str, source: str) -> float:
    """Words of `answer` that stand in `source` in their order, of all its words; a sentence said again counts once."""
    said = [w for part in dict.fromkeys(map(normal, sentences(answer))) for w in words(part)]
    matched = SequenceMatcher(None, said, words(source), autojunk=False).get_matching_blocks()
    return sum(block.size for block in matched) / len(said) if said else 0.0
