"""Does the source make a text likelier? By the recipe's own untrained model.

score = (log p(text | source) - log p(text)) / tokens of the text, in nats

A text about other things than its source gains nothing from it. The model sees what it can itself use in
context and nothing else: copying names raises the score of a wrong text as well as that of a right one.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

from pydantic import Field, field_validator

from contextune.core import registry
from contextune.core.asking import window
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.special_tokens import begins, opens

from ..base import Inferred
from .base import Filter, Judge

GIVEN = "{source}\n{operation}: "


@registry.filters("entailment")
class Entailment(Filter):
    """Refuses texts that score below `threshold` (nats a token).

    `given` is what precedes the text: {source} is the passage, with what else the writer read before it, and
    {operation} the operation's name. Naming the operation asks for more than "is about the same": only so does the
    pocket model tell a reversal from one with its names exchanged (docs/filters.md).
    """

    threshold: float = Field(0.0, ge=-100, le=100, description="nats a token that the source must add")
    given: str = Field(GIVEN, description="what precedes a text")

    @field_validator("given")
    @classmethod
    def _has_source(cls, given: str) -> str:
        if "{source}" not in given:
            raise ValueError("given must hold {source}")
        return given

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            found = scores(made, context, self.given)
            return ["" if x >= self.threshold else f"not entailed: {x:.2f} nats a token" for x in found]

        return judge


def scores(made: Seq[Inferred], context: BindContext, given: str = GIVEN) -> list[float]:
    """Nats a token that the source adds; a text without a token scores -inf. UserError where no model is there."""
    from contextune.models.likelihood import LikelihoodRow, log_likelihoods  # imports torch

    if context.load_model is None:
        raise UserError("the filter 'entailment' needs a model", "leave it out where texts are only exported")
    model, tokenizer = context.load_model(), context.tokenizer
    longest, rows, sizes = window(model, tokenizer), list[LikelihoodRow](), list[int]()
    for m in made:
        source = f"{m.read}\n{m.passage.text}" if m.read else m.passage.text
        name = m.operation.partition("/")[0]
        with_source = given.replace("{operation}", name).replace("{source}", source) + m.prompt
        space = "" if m.prompt else " " * (len(given) - len(given.rstrip(" ")))  # belongs to the word behind it
        text = encode(space + m.text, tokenizer)[:longest]
        sizes.append(len(text))
        for prompt in (with_source.removesuffix(space), m.prompt):
            before = encode(prompt, tokenizer)
            ids = [*(begins(tokenizer) if before else opens(tokenizer)), *before]
            if text:
                rows.append(LikelihoodRow(tuple(ids[-(longest + 1 - len(text)) :]), tuple(text)))
    found = iter(log_likelihoods(model, rows, context.tokens))
    return [(next(found) - next(found)) / n if n else float("-inf") for n in sizes]
