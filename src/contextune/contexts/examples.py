"""Solved examples before a record: what all policies of that sort share.

    "input: send Kalo to Mido output: [to Mido, send Kalo].\\n"     drawn examples, context
    "input: send Rune to Sede output:"                             the record: its input, context
    " [to Sede, send Rune]."                                       its answer, target

A policy says of what *kind* each slot is; here the slots are filled and laid in order:

    similar      the nearest examples that may be shown
    random       any others, unless they are near by accident (`tau`)
    paraphrase   a text that is made to be like the record
    self         the record with its answer: a control that teaches copying

Neither the record nor what says the same ever precedes it (`retrieval.guard`), but for `self`. The first
kind that a policy names is that of "slot one"; provenance says what became of it and where it stands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.options import LONGEST, Seed
from contextune.core.sequence import DrawKey, Record, Tokenizer
from contextune.retrieval import Lexical, Pool, SimilarityOption, given, grade, open_pool

from .editing.base import editable
from .example_format import largest, lay, sizes
from .policy import BoundPolicy, ContextDraw, Policy, Share
from .shared_examples import for_all

if TYPE_CHECKING:
    from .paraphrases import Paraphraser

SlotKind = Literal["similar", "random", "paraphrase", "self"]


def slots(first: SlotKind, n: int) -> Seq[SlotKind]:
    """One of a kind, the rest random."""
    rest: list[SlotKind] = ["random"] * (n - 1)
    return [first, *rest][:n]


WAYS_OUT = {
    "paraphrase": "let a writer make them (paraphrases: rephrase, or model), take them from a source (paraphrases: "
    "{source: NAME}), or do without: paraphrases: none shows the nearest example in their place",
    "similar": "allow other grades, name a larger pool or another similarity, or use the policy random",
}


@dataclass(frozen=True, slots=True)
class Pick:
    """One example: what is shown, why, and how similar its input is to the record's (None: not known)."""

    example: Record
    kind: SlotKind
    similarity: float | None


class Examples(Policy):
    """Options of every policy that shows examples."""

    warns: ClassVar[bool] = False
    """Whether an empty grade is worth a warning."""
    first: ClassVar[SlotKind] = "random"
    """What slot one is where `kinds` says nothing else."""

    renamed: ClassVar[dict[str, str]] = {
        "fewest": "min_k",
        "tau": "max_random_similarity",
        "near": "duplicate_threshold",
        "apart": "group_columns",
        "joining": "separator",
    }

    k: int = Field(4, ge=1, le=64, description="examples")
    min_k: int | None = Field(
        None, ge=0, le=64, description="draw the number of examples anew each time, from this to k"
    )
    order: Literal["shuffled", "similar_last"] = Field("shuffled", description="of the examples")
    pool: float | str | tuple[str, ...] = Field(
        "self",
        description="where examples come from: self, sources by name, or a share of the rows, then not trained on",
    )
    pool_seed: Seed = Field(0, description="which rows that share is")
    loss: Literal["target", "all"] = Field("target", description="all: the answers of the examples are trained on too")
    max_random_similarity: float | None = Field(
        1 / 3, ge=0, le=1, description="maximum similarity of random examples; null: no limit"
    )
    duplicate_threshold: float = Field(
        0.9,
        gt=0,
        le=1,
        description="from this similarity a text with the same answer is a duplicate (a raw text: whatever its answer)",
    )
    group_columns: tuple[str, ...] = Field(
        (), description="columns: rows that agree in one of them are never in each other's context"
    )
    similarity: SimilarityOption = Field(
        default_factory=Lexical, description="of inputs: lexical, overlap, dense, or a mapping with its options"
    )
    grades: tuple[Literal["low", "medium", "high"], ...] = Field(
        ("low", "medium", "high"),
        description="allowed grades of similar examples; a random example replaces one of another grade",
    )
    separator: str = Field("\n", description="text between examples")
    ending: str | None = Field(None, description="text after the last example; default: the separator")
    template: str | None = Field(
        None,
        description="jinja2 text of an example from input, answer and the row's columns; default: as it is trained on",
    )
    max_tokens: int | None = Field(
        None,
        gt=0,
        le=LONGEST,
        description="all examples together; what does not fit is left out. Needed where texts are cut into chunks",
    )

    @field_validator("pool")
    @classmethod
    def _share(cls, pool: float | str | tuple[str, ...]) -> float | str | tuple[str, ...]:
        if isinstance(pool, float | int) and not 0 < pool < 1:
            raise ValueError("a share of the rows is above 0 and below 1")
        return pool

    @model_validator(mode="after")
    def _sound(self) -> Examples:
        if self.min_k is not None and self.min_k > self.k:
            raise ValueError(f"min_k is {self.min_k}, above k, {self.k}")
        if self.template is not None and self.loss == "all":
            raise ValueError("a template leaves no answer that could be trained on; use loss: target")
        return self

    def kinds(self, n: int, rng: random.Random) -> Seq[SlotKind]:
        """The kinds of n slots, slot one first."""
        return slots(self.first, n)

    def sources(self) -> tuple[str, ...]:
        own = () if isinstance(self.pool, float) else (n for n in _names(self.pool) if n != "self")
        return tuple(dict.fromkeys((*own, *super().sources())))

    def is_target(self, record: Record) -> bool:
        return super().is_target(record) and not (isinstance(self.pool, float) and self._shown_only(record))

    def _shown_only(self, record: Record) -> bool:
        key = record.document or record.id
        return DrawKey(self.pool_seed, 0).rng("pool", key).random() < float(self.pool)  # type: ignore[arg-type]

    def candidates(self, context: BindContext) -> tuple[Record, ...]:
        """The records that examples are drawn from."""
        if isinstance(self.pool, float):
            return tuple(r for r in context.records if self._shown_only(r))
        named = [context.records if n == "self" else _source(context, n) for n in _names(self.pool)]
        return tuple(r for records in named for r in records)

    def open(self, context: BindContext, rows: Seq[Record]) -> Pool:
        """The pool, with what is near to each row; tells of its grades."""
        candidates = self.candidates(context)
        if len(candidates) < 2:
            raise UserError(
                f"context {self.name}: {len(candidates)} records to draw {self.k} examples from", "name a larger pool"
            )
        pool = open_pool(
            rows, candidates, self.similarity, self.k, context, self.duplicate_threshold, self.group_columns
        )
        self._tell(pool, context)
        return pool

    def _tell(self, pool: Pool, context: BindContext) -> None:
        shares, by = pool.grades(), self.similarity.name
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        if self.warns:
            context.say(f"context {self.name}: nearest example of each row, by {by} similarity: {listed}")
        empty = [name for name, share in shares.items() if not share]
        if self.warns and empty:
            context.warn(
                f"context {self.name}: no row's nearest example is of grade {' or '.join(empty)} ({by} similarity: "
                f"{listed})"
            )

    def paraphraser(self, context: BindContext, pool: Pool) -> Paraphraser | None:
        return None

    def wanted(self) -> dict[SlotKind, float]:
        """Of what kind slot one shall be, and how often."""
        return {self.first: 1.0}

    def bind(self, context: BindContext) -> BoundPolicy:
        return self.showing(context)

    def showing(self, context: BindContext) -> Showing:
        rows = [r for r in context.records if self.is_target(r)]
        pool = self.open(context, rows)
        paraphraser = self.paraphraser(context, pool)
        most = self.limit(pool.records, context.tokenizer)
        return Showing(self, pool, paraphraser, context.tokenizer, most, tuple(rows))

    def limit(self, candidates: Seq[Record], tokenizer: Tokenizer) -> int:
        """Tokens of a context at most: as asked, else k times the longest example (with room for one that is made)."""
        return self.max_tokens or self.k * (2 * largest(candidates, self, tokenizer) + 8)

    def max_context_tokens(self, tokenizer: Tokenizer) -> int | None:
        return self.max_tokens


@dataclass(frozen=True)
class Showing(BoundPolicy):
    """A policy with its pool. Slots as picks, picks as segments."""

    policy: Examples
    pool: Pool
    paraphraser: Paraphraser | None
    tokenizer: Tokenizer
    most: int
    rows: Seq[Record] = ()
    """The records that are learned."""

    def shares(self) -> tuple[Share, ...]:
        return self._shares

    @cached_property
    def _shares(self) -> tuple[Share, ...]:
        """Paraphrases need somebody who can make them, similar examples a neighbour of an allowed grade."""
        able = {"paraphrase": self._paraphrased, "similar": self._has_neighbour}
        found = []
        for kind, wanted in self.policy.wanted().items():
            if kind in able and wanted and self.rows:
                count, tried = editable(self.rows, able[kind])
                found.append(Share(kind, wanted, wanted * count / tried, WAYS_OUT[kind]))
        return tuple(found)

    def _paraphrased(self, record: Record) -> bool:
        return self.paraphraser is not None and self.paraphraser.of(record, random.Random(0)) is not None

    def _has_neighbour(self, record: Record) -> bool:
        scores = self.pool.neighbours.scores[self.pool.row(record)].tolist()
        return any(s >= 0 and grade(s) in self.policy.grades for s in scores)

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        rng = key.rng("examples", self.policy.drawn_as, record.id)
        return self.show(self.fill(record, self._kinds(rng), rng), rng)

    def draws_alone(self, record: Record, key: DrawKey) -> bool:
        """Whether a record's context is its own where records share theirs: it holds more than random examples."""
        rng = key.rng("examples", self.policy.drawn_as, record.id)
        return not self._only_random(self._kinds(rng))

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        """Random examples that may precede each of `records`; their similarities are the highest to any.

        Raises UserError where a context of this policy always depends on one record.
        """
        policy = self.policy
        if policy.order == "similar_last":
            raise UserError("train.share: order: similar_last goes by one record's similarities", "use order: shuffled")
        if not any(self._only_random(self._kinds(random.Random(i))) for i in range(64)):
            raise UserError(
                f"train.share: every context of {policy.name} holds an example that is chosen for one record",
                "leave train.share out for this arm",
            )
        rng = key.rng("shared examples", policy.drawn_as, records[0].id)
        n = policy.k if policy.min_k is None else rng.randint(max(1, policy.min_k), policy.k)
        rows = [self.pool.row(r) for r in records]
        drawn = for_all(self.pool, rows, n, rng, policy.max_random_similarity)
        picks = [Pick(self.pool.records[place], "random", s) for place, s in drawn]
        return self.show(picks, rng, together=[r.id for r in records])

    def _kinds(self, rng: random.Random) -> Seq[SlotKind]:
        policy = self.policy
        return policy.kinds(policy.k if policy.min_k is None else rng.randint(policy.min_k, policy.k), rng)

    @staticmethod
    def _only_random(kinds: Seq[SlotKind]) -> bool:
        """No example at all is nothing to share: the number of a shared draw is at least 1."""
        return set(kinds) == {"random"}

    def fill(self, record: Record, kinds: Seq[SlotKind], rng: random.Random) -> list[Pick]:
        """A pick for each slot, in the order of the kinds; fewer where the pool is exhausted."""
        row, picks, taken = self.pool.row(record), list[Pick](), list[int]()
        near = self.pool.nearest(row, len(kinds), rng) if set(kinds) & {"similar", "paraphrase"} else []
        near = [(place, s) for place, s in near if grade(s) in self.policy.grades]
        for kind in kinds:
            if kind == "self":
                picks.append(Pick(record, "self", 1.0))
            elif kind == "paraphrase" and (made := self._paraphrase(record, row, rng)) is not None:
                picks.append(made)
            elif kind != "random" and near:  # a paraphrase that cannot be had is a neighbour
                place, s = near.pop(0)
                taken.append(place)
                picks.append(Pick(self.pool.records[place], "similar", s))
        for place, s in self.pool.random(row, len(kinds) - len(picks), rng, self.policy.max_random_similarity, taken):
            picks.append(Pick(self.pool.records[place], "random", s))
        return picks

    def _paraphrase(self, record: Record, row: int, rng: random.Random) -> Pick | None:
        made = self.paraphraser.of(record, rng) if self.paraphraser is not None else None
        if made is None:
            return None
        return Pick(made, "paraphrase", self.pool.space.outside(row, given(made)))

    def show(self, picks: list[Pick], rng: random.Random, record: Record | None = None, **more: Any) -> ContextDraw:
        """The context of these picks, within `most` tokens, and where it came from."""
        picks = list(self._fitting(picks))
        first = picks[0] if picks else None
        rng.shuffle(picks)
        if self.policy.order == "similar_last":
            picks.sort(key=lambda p: 1.0 if p.similarity is None else p.similarity)
        known = [p.similarity for p in picks if p.similarity is not None]
        source = {
            "policy": self.policy.name,
            "slot_one": first.kind if first else None,
            "place": next((i for i, p in enumerate(picks) if p is first), None),
            "kinds": [p.kind for p in picks],
            "examples": [p.example.id for p in picks],
            "similarities": [None if p.similarity is None else round(p.similarity, 4) for p in picks],
            "s_max": round(max(known), 4) if known else None,
            "grade": grade(max(known)) if known else None,
        }
        return ContextDraw(lay([p.example for p in picks], self.policy), {**source, **more}, record)

    def _fitting(self, picks: Seq[Pick]) -> Seq[Pick]:
        """The first picks that fit together."""
        room = self.most
        for n, pick in enumerate(picks):
            room -= sizes(pick.example, self.policy, self.tokenizer)
            if room < 0:
                return picks[:n]
        return picks


def _names(pool: float | str | tuple[str, ...]) -> tuple[str, ...]:
    return (pool,) if isinstance(pool, str) else pool if isinstance(pool, tuple) else ()


def _source(context: BindContext, name: str) -> Seq[Record]:
    return context.source(name) if context.source is not None else ()
