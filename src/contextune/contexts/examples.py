"""Solved examples before a record: what all policies of that sort share.

    "input: send Kalo to Mido output: [to Mido, send Kalo].\\n"     drawn examples, context
    "input: send Rune to Sede output:"                             the record: its input, context
    " [to Sede, send Rune]."                                       its answer, target

A policy says of what *kind* each slot is; here the slots are filled and laid in order:

    similar      the nearest examples that may be shown
    random       any others, unless they are near by accident (`tau`)
    paraphrase   a text that is made to be like the record
    self         the record with its answer: a control that teaches copying

Neither the record nor what says the same ever stands before it (`retrieve.guard`), but for `self`. The first
kind that a policy names is that of "slot one"; provenance says what became of it and where it stands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ..errors import UserError
from ..retrieve import Lexical, Place, Pool, Similarity, grade, open_pool
from ..sequence import Moment, Record, Tokenizer
from .base import Context, Drawn, Policy, Scene
from .laying import largest, lay, sizes
from .sharing import for_all

if TYPE_CHECKING:
    from .paraphrases import Paraphraser

Kind = Literal["similar", "random", "paraphrase", "self"]


def slots(first: Kind, n: int) -> Seq[Kind]:
    """One of a kind, the rest random."""
    rest: list[Kind] = ["random"] * (n - 1)
    return [first, *rest][:n]


@dataclass(frozen=True, slots=True)
class Pick:
    """One example: what is shown, why, and how similar its input is to the record's (None: not known)."""

    example: Record
    kind: Kind
    similarity: float | None


class Examples(Policy):
    """Options of every policy that shows examples."""

    warns: ClassVar[bool] = False
    """Whether an empty grade is worth a warning."""
    first: ClassVar[Kind] = "random"
    """What slot one is where `kinds` says nothing else."""

    k: int = Field(4, ge=1, le=64, description="examples")
    fewest: int | None = Field(None, ge=0, description="draw the number of examples anew each time, from this to k")
    order: Literal["shuffled", "similar_last"] = Field("shuffled", description="of the examples")
    pool: float | str | tuple[str, ...] = Field(
        "self",
        description="where examples come from: self, sources by name, or a share of the rows, then not learned",
    )
    pool_seed: int = Field(0, ge=0, description="which rows that share is")
    loss: Literal["target", "all"] = Field("target", description="all: the answers of the examples bear loss too")
    tau: float | None = Field(
        1 / 3, ge=0, le=1, description="random examples are at most so similar; null: whatever comes"
    )
    near: float = Field(
        0.9,
        gt=0,
        le=1,
        description="with the same answer (raw texts: whatever follows) so similar a text is a duplicate",
    )
    apart: tuple[str, ...] = Field(
        (), description="columns: rows that agree in one of them never stand before each other"
    )
    similarity: Similarity = Field(
        Lexical(kind="lexical"), description="of inputs: lexical, overlap, dense, or a mapping with one's options"
    )
    grades: tuple[Literal["low", "medium", "high"], ...] = Field(
        ("low", "medium", "high"), description="of similar examples; where the nearest has another, a random one stands"
    )
    joining: str = Field("\n", description="text between examples")
    ending: str | None = Field(None, description="text after the last example; default: that between examples")
    template: str | None = Field(
        None,
        description="jinja2 text of an example from input, answer and the row's columns; default: as it is learned",
    )
    max_tokens: int | None = Field(
        None,
        gt=0,
        description="all examples together; what does not fit is left out. Needed where texts are cut to chunks",
    )

    @field_validator("pool")
    @classmethod
    def _share(cls, pool: float | str | tuple[str, ...]) -> float | str | tuple[str, ...]:
        if isinstance(pool, float | int) and not 0 < pool < 1:
            raise ValueError("a share of the rows is above 0 and below 1")
        return pool

    @model_validator(mode="after")
    def _sound(self) -> Examples:
        if self.fewest is not None and self.fewest > self.k:
            raise ValueError(f"fewest is {self.fewest}, above k, {self.k}")
        if self.template is not None and self.loss == "all":
            raise ValueError("a template leaves no answer that could bear loss; use loss: target")
        return self

    def kinds(self, n: int, rng: random.Random) -> Seq[Kind]:
        """The kinds of n slots, slot one first."""
        return slots(self.first, n)

    def sources(self) -> tuple[str, ...]:
        return () if isinstance(self.pool, float) else tuple(n for n in _names(self.pool) if n != "self")

    def trains(self, record: Record) -> bool:
        return not (isinstance(self.pool, float) and self._shown_only(record))

    def _shown_only(self, record: Record) -> bool:
        key = record.document or record.id
        return Moment(self.pool_seed, 0).rng("pool", key).random() < float(self.pool)  # type: ignore[arg-type]

    def shelf(self, scene: Scene) -> tuple[Record, ...]:
        """The records that examples are drawn from."""
        if isinstance(self.pool, float):
            return tuple(r for r in scene.records if self._shown_only(r))
        named = [scene.records if n == "self" else _source(scene, n) for n in _names(self.pool)]
        return tuple(r for records in named for r in records)

    def open(self, scene: Scene, rows: Seq[Record]) -> Pool:
        """The pool, with what is near to each row; tells of its grades."""
        shelf = self.shelf(scene)
        if len(shelf) < 2:
            raise UserError(
                f"context {self.policy}: {len(shelf)} records to draw {self.k} examples from", "name a larger pool"
            )
        place = Place(scene.model, scene.folder, scene.cache, scene.progress)
        pool = open_pool(rows, shelf, self.similarity, self.k, self.near, self.apart, place)
        self._tell(pool, scene)
        return pool

    def _tell(self, pool: Pool, scene: Scene) -> None:
        shares, by = pool.grades(), self.similarity.kind
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        if self.warns and scene.say is not None:
            scene.say(f"context {self.policy}: nearest example of each row, by {by} similarity: {listed}")
        empty = [name for name, share in shares.items() if not share]
        if self.warns and empty and scene.warn is not None:
            scene.warn(
                f"context {self.policy}: no row's nearest example is of grade {' or '.join(empty)} ({by} similarity: "
                f"{listed})"
            )

    def paraphraser(self, scene: Scene, pool: Pool) -> Paraphraser | None:
        return None

    def bind(self, scene: Scene) -> Context:
        return self.showing(scene)

    def showing(self, scene: Scene) -> Showing:
        rows = [r for r in scene.records if self.trains(r)]
        if not rows:  # bound to learn `longest` only
            return Showing(self, None, None, scene.tokenizer, self.max_tokens or 0)
        pool = self.open(scene, rows)
        paraphraser = self.paraphraser(scene, pool)
        return Showing(self, pool, paraphraser, scene.tokenizer, self.limit(pool.records, scene.tokenizer))

    def limit(self, shelf: Seq[Record], tokenizer: Tokenizer) -> int:
        """Tokens of a context at most: as asked, else k times the longest example (with room for one that is made)."""
        return self.max_tokens or self.k * (2 * largest(shelf, self, tokenizer) + 8)


@dataclass(frozen=True)
class Showing:
    """A policy with its pool. Slots as picks, picks as segments."""

    policy: Examples
    pool: Pool | None
    paraphraser: Paraphraser | None
    tokenizer: Tokenizer
    most: int

    def before(self, record: Record, at: Moment) -> Drawn:
        rng = at.rng("examples", self.policy.policy, record.id)
        return self.show(self.fill(record, self._kinds(rng), rng), rng)

    def alone(self, record: Record, at: Moment) -> bool:
        """Whether a record's context is its own where records share theirs: it holds more than random examples."""
        rng = at.rng("examples", self.policy.policy, record.id)
        return not self._only_random(self._kinds(rng))

    def shared(self, records: Seq[Record], at: Moment) -> Drawn:
        """Random examples that may stand before each of `records`; their similarities are the highest to any.

        Raises UserError where a context of this policy always depends on one record.
        """
        policy = self.policy
        if policy.order == "similar_last":
            raise UserError("train.share: order: similar_last goes by one record's similarities", "use order: shuffled")
        if not any(self._only_random(self._kinds(random.Random(i))) for i in range(64)):
            raise UserError(
                f"train.share: every context of {policy.policy} holds an example that is chosen for one record",
                "leave train.share out for this arm",
            )
        assert self.pool is not None
        rng = at.rng("shared examples", policy.policy, records[0].id)
        n = policy.k if policy.fewest is None else rng.randint(max(1, policy.fewest), policy.k)
        rows = [self.pool.row(r) for r in records]
        drawn = for_all(self.pool, rows, n, rng, policy.tau)
        picks = [Pick(self.pool.records[place], "random", s) for place, s in drawn]
        return self.show(picks, rng, together=[r.id for r in records])

    def _kinds(self, rng: random.Random) -> Seq[Kind]:
        policy = self.policy
        return policy.kinds(policy.k if policy.fewest is None else rng.randint(policy.fewest, policy.k), rng)

    @staticmethod
    def _only_random(kinds: Seq[Kind]) -> bool:
        """No example at all is nothing to share: the number of a shared draw is at least 1."""
        return set(kinds) == {"random"}

    def longest(self) -> int:
        if not self.most:
            raise UserError(
                f"context {self.policy.policy}: how long its examples are is not known before texts are cut to chunks",
                "set the context's max_tokens, or the source's chunk: none",
            )
        return self.most

    def fill(self, record: Record, kinds: Seq[Kind], rng: random.Random) -> list[Pick]:
        """A pick for each slot, in the order of the kinds; fewer where the pool is exhausted."""
        assert self.pool is not None
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
        for place, s in self.pool.random(row, len(kinds) - len(picks), rng, self.policy.tau, taken):
            picks.append(Pick(self.pool.records[place], "random", s))
        return picks

    def _paraphrase(self, record: Record, row: int, rng: random.Random) -> Pick | None:
        made = self.paraphraser.of(record, rng) if self.paraphraser is not None else None
        if made is None or self.pool is None:
            return None
        from ..retrieve import given

        return Pick(made, "paraphrase", self.pool.space.outside(row, given(made)))

    def show(self, picks: list[Pick], rng: random.Random, record: Record | None = None, **more: Any) -> Drawn:
        """The context of these picks, within `longest`, and where it came from."""
        picks = list(self._fitting(picks))
        first = picks[0] if picks else None
        rng.shuffle(picks)
        if self.policy.order == "similar_last":
            picks.sort(key=lambda p: 1.0 if p.similarity is None else p.similarity)
        known = [p.similarity for p in picks if p.similarity is not None]
        source = {
            "policy": self.policy.policy,
            "slot_one": first.kind if first else None,
            "place": next((i for i, p in enumerate(picks) if p is first), None),
            "kinds": [p.kind for p in picks],
            "examples": [p.example.id for p in picks],
            "similarities": [None if p.similarity is None else round(p.similarity, 4) for p in picks],
            "s_max": round(max(known), 4) if known else None,
            "grade": grade(max(known)) if known else None,
        }
        return Drawn(lay([p.example for p in picks], self.policy), {**source, **more}, record)

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


def _source(scene: Scene, name: str) -> Seq[Record]:
    return scene.source(name) if scene.source is not None else ()
