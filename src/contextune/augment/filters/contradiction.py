"""The most probable set of statements that do not contradict each other (deductive closure).

Akyürek et al. 2024, "Deductive Closure Training of Language Models", arXiv 2401.08574: of the truth assignments
that are consistent, the one of highest probability. Here the originals are true, a made statement that
contradicts none is kept, and of those that contradict each other

    keep the set S, consistent and not to be enlarged, that maximises  prod p_i (i in S) * prod (1 - p_i) (i not in S)

p_i is how likely the judge finds the statement given its source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Seq
from typing import Literal, Protocol

from pydantic import Field, field_validator

from contextune.core import registry
from contextune.core.asking import pair, window
from contextune.core.binding import BindContext
from contextune.core.errors import UserError

from ..base import Inferred
from ..reasoner import reasoner
from .base import Filter, Judge
from .consistent import StatementPair, consistent, linked
from .exact import follows
from .text import names, sentences, whole


@registry.filters("contradiction")
class Contradiction(Filter):
    """`judge` is the recipe's model, which is asked `ask` and answers with one of `answers` (yes, no); or, for worlds,
    the exact reasoner, which finds all statements equally likely.

    Two statements are compared where they were made of the same passage or share two names, each with `pairs` others at
    most. A group of at most `exact` statements that hang together by contradictions is solved exactly, a larger one
    greedily, the likeliest first.
    """

    judge: Literal["model", "world"] = Field("model", description="who says whether statements contradict")
    threshold: float = Field(0.5, gt=0, lt=1, description="probability of no from which two statements contradict")
    pairs: int = Field(16, ge=1, le=1000, description="statements that each is compared with, at most")
    exact: int = Field(12, ge=1, le=18, description="statements of a group that is solved exactly, at most")
    ask: str = Field("{first}\nquestion: is it true that {second}? answer:", description="what the model is asked")
    answers: tuple[str, str] = Field((" yes", " no"), description="what it may answer: yes, no")

    @field_validator("ask")
    @classmethod
    def _has_both(cls, ask: str) -> str:
        if not ("{first}" in ask and "{second}" in ask):
            raise ValueError("ask must hold {first} and {second}")
        return ask

    def bind(self, context: BindContext) -> Judge:
        oracle: Oracle = WorldOracle() if self.judge == "world" else Yes(context, self.ask, self.answers)
        told = list(
            dict.fromkeys(s.strip() for r in context.records for s in sentences("".join(x.text for x in r.segments)))
        )

        def judge(made: Seq[Inferred]) -> list[str]:
            texts = [whole(m) for m in made] + told
            keys = [_keys(m) for m in made] + [set[object](names(t)) for t in told]
            asked = list(dict.fromkeys(linked(keys, len(made), self.pairs)))
            no = _both(oracle, [(texts[i], texts[j]) for i, j in asked])
            clash = [pair for pair, p in zip(asked, no, strict=True) if p >= self.threshold]
            against = {i: texts[j] for i, j in clash if j >= len(made)}
            among = [(i, j) for i, j in clash if j < len(made) and not {i, j} & against.keys()]
            nodes = sorted({i for pair in among for i in pair})
            true = dict(zip(nodes, oracle.true([made[i] for i in nodes]), strict=True))
            out = true.keys() - consistent(true, among, self.exact)
            return [self._reason(i, against, out, among, texts) for i in range(len(made))]

        return judge

    def _reason(
        self, i: int, against: dict[int, str], out: set[int], among: list[StatementPair], texts: list[str]
    ) -> str:
        if i in against:
            return f"contradicts an original: {against[i].strip()}"
        if i not in out:
            return ""
        other = next(b if a == i else a for a, b in among if i in (a, b) and not {a, b} <= out)
        return f"contradicts a likelier one: {texts[other].strip()}"


class Oracle(Protocol):
    """What says whether statements contradict, and how likely each is."""

    def false(self, pairs: Seq[tuple[str, str]]) -> list[float]:
        """Probability that the second of each pair is false where the first is true."""
        ...

    def true(self, made: Seq[Inferred]) -> list[float]:
        """Probability of each, given its source."""
        ...


class WorldOracle:
    """The exact reasoner of the worlds' language."""

    def false(self, pairs: Seq[tuple[str, str]]) -> list[float]:
        read = reasoner().read
        return [float(any(follows(tuple(read(a)), fact) is False for fact in read(b))) for a, b in pairs]

    def true(self, made: Seq[Inferred]) -> list[float]:
        return [0.5] * len(made)


class Yes:
    """A model's likelihood of yes against no."""

    def __init__(self, context: BindContext, ask: str, answers: tuple[str, str]) -> None:
        if context.load_model is None:
            raise UserError("the filter 'contradiction' needs a model", "set judge: world, or leave it out")
        self.load_model, self.context, self.ask, self.answers = context.load_model, context, ask, answers

    def false(self, pairs: Seq[tuple[str, str]]) -> list[float]:
        return [1 - p for p in self._yes(pairs)]

    def true(self, made: Seq[Inferred]) -> list[float]:
        return self._yes([(m.passage.text, whole(m)) for m in made])

    def _yes(self, pairs: Seq[tuple[str, str]]) -> list[float]:
        prompts = [
            self.ask.replace("{first}", a.strip()).replace("{second}", b.strip().removesuffix(".")) for a, b in pairs
        ]
        from contextune.models.likelihood import LikelihoodRow, log_likelihoods  # imports torch

        model, tokenizer = self.load_model(), self.context.tokenizer
        longest, rows = window(model, tokenizer), list[LikelihoodRow]()
        for given, scored in (pair(prompt, answer, tokenizer) for prompt in prompts for answer in self.answers):
            rows.append(LikelihoodRow(tuple(given[-(longest + 1 - len(scored)) :]), tuple(scored)))
        sums = iter(log_likelihoods(model, rows, self.context.tokens))
        return [1 / (1 + math.exp(min(no - yes, 700.0))) for yes, no in zip(sums, sums, strict=True)]


def _both(oracle: Oracle, pairs: list[tuple[str, str]]) -> list[float]:
    """A contradiction has no direction: each pair is asked both ways, and the greater probability counts."""
    found = oracle.false([*pairs, *((b, a) for a, b in pairs)])
    return [max(p) for p in zip(found[: len(pairs)], found[len(pairs) :], strict=True)]


def _keys(made: Inferred) -> set[object]:
    """What links it with others: names; and its passage, which counts for two."""
    return {*names(whole(made)), (made.passage.id, 0), (made.passage.id, 1)}
