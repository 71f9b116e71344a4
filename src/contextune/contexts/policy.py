"""What a context policy is: options that a recipe writes, and a pure draw.

A policy is one small file: a class of options, registered by name, whose `bind` is given what a policy may need (the
tokenizer, the stage's records, a writer) and returns what draws. Nothing outside the file knows the policy's name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.options import Named, named, parse_named
from contextune.core.sequence import DrawKey, Record, Segment, Sequence, Tokenizer


@dataclass(frozen=True, slots=True)
class ContextDraw:
    """What precedes a record, and where it came from (plain JSON values)."""

    segments: tuple[Segment, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    """What is learned in the record's place: a counterfactual context needs a target that was edited to match."""
    limit: int | None = None
    """Tokens that the policy promised at most; `render` refuses a draw that is longer."""
    rejected: tuple[Segment, ...] = ()
    """What is not to be said after this context, the record's own context included: the answer from memory where the
    context was edited, that of a distractor where it misleads. Empty: the record's own, where it has one."""
    alternatives: tuple[ContextDraw, ...] = ()
    """Draws, this one among them, of which the trainer takes the one after which the record's loss is lowest."""
    replayed: bool = False
    """Whether the record is general text, which is there against forgetting."""


@dataclass(frozen=True, slots=True)
class Share:
    """A kind of context that a policy wants in a share of its draws, and the share that the rows allow."""

    kind: str
    wanted: float
    possible: float
    ways_out: str = ""
    """What to do where that is less than half; "": any share is taken."""

    def of(self, part: float) -> Share:
        """The same of a part of the draws."""
        return replace(self, wanted=part * self.wanted, possible=part * self.possible)

    def refuse(self, policy: str) -> None:
        """UserError where less than half of what is wanted can be had, unless the policy has its own say in that."""
        if self.ways_out and self.possible < self.wanted / 2:
            raise UserError(
                f"context {policy}: {self.kind} is wanted in {self.wanted:.1%} of the contexts and can be made for "
                f"{self.possible:.1%} of them, less than half; the nearest or random examples would take the place",
                self.ways_out,
            )


class BoundPolicy(ABC):
    """A policy with all that it draws from."""

    @abstractmethod
    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        """The context of `record`: a pure function of the record and the key."""

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        """One context that may precede each of `records`, distributed for each of them as `draw` has it.

        Raises UserError where the policy draws for one record at a time, as it does unless it says otherwise.
        """
        raise UserError("train.share: this context policy draws for one record at a time", "leave train.share out")

    def draws_alone(self, record: Record, key: DrawKey) -> bool:
        """Whether this draw belongs to the record alone, where the policy shares others."""
        return False

    def shares(self) -> tuple[Share, ...]:
        """What the policy wants in a share of its draws and cannot make for every row."""
        return ()


class Policy(Named, ABC):
    """Options of a context policy. A policy that wraps others forwards what they promise without more ado."""

    key: ClassVar[str] = "policy"
    shows_target: ClassVar[bool] = False
    """Whether its draws hold the record's own target, so that only an objective that leaves them out may learn it."""
    draws_as: ClassVar[str] = ""
    """The policy's name in random keys, where that is not its name: a renamed policy still draws the same."""

    @abstractmethod
    def bind(self, context: BindContext) -> BoundPolicy:
        """What draws. Call `bind_policy`, which holds the draws to the promise."""

    @abstractmethod
    def max_context_tokens(self, tokenizer: Tokenizer) -> int | None:
        """Tokens of a draw at most, known from the options alone: it is asked before any text is read or cut.

        It sets the room that is left for the text in *all* arms, and every draw is held to it. None: not known before,
        which sources that are cut into chunks refuse.
        """

    def is_target(self, record: Record) -> bool:
        """Whether the stage learns the record; False for those that it shows in contexts only."""
        return all(policy.is_target(record) for policy in self.inner())

    def filters(self) -> bool:
        """Whether `is_target` may say no."""
        return type(self).is_target is not Policy.is_target or any(policy.filters() for policy in self.inner())

    def reveals(self) -> bool:
        """Whether a draw may hold the record's own target."""
        return self.shows_target or any(policy.reveals() for policy in self.inner())

    def sources(self) -> tuple[str, ...]:
        """Names of the sources that contexts are drawn from, beside the stage's own records."""
        return tuple(dict.fromkeys(name for policy in self.inner() for name in policy.sources()))

    def content(self) -> object:
        """What, besides the options, decides the draws (a prompt file's text): part of the run's fingerprint."""
        found = [policy.content() for policy in self.inner()]
        return found if any(c is not None for c in found) else None

    def inner(self) -> Iterator[Policy]:
        """The policies among the options."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            yield from (p for p in (value if isinstance(value, tuple) else (value,)) if isinstance(p, Policy))

    def located(self, folder: Path) -> Self:
        """The same policy with relative paths made absolute; `folder` is the recipe's."""

        def moved(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(moved(v) for v in value)
            return value.located(folder) if isinstance(value, Policy) else value

        return self.model_copy(update={name: moved(getattr(self, name)) for name in type(self).model_fields})

    @property
    def drawn_as(self) -> str:
        """The policy's name in random keys."""
        return self.draws_as or self.name


PolicyOption = named(registry.policies, Policy.key)
"""A policy among the options of something: its name, or a mapping with the key `policy`."""


def parse(value: object) -> Policy:
    """A policy as a recipe writes it."""
    policy: Policy = parse_named(value, registry.policies, Policy.key)
    return policy


def bind_policy(policy: Policy, context: BindContext) -> BoundPolicy:
    """The bound policy, each of whose draws carries the policy's promise of its length.

    Relative paths in options begin at `context.folder`. Options are refused before a writer is asked. UserError
    where less than half of what the options want can be had from these records.
    """
    if context.folder is not None:
        policy = policy.located(context.folder)
    limit = policy.max_context_tokens(context.tokenizer)
    bound = policy.bind(context)
    for share in bound.shares():
        share.refuse(policy.name)
    return bound if limit is None else Promised(bound, limit)


class _Touched(Exception):
    """Something was looked at that a policy which draws from its options does not need."""


class _Nothing(Seq[Record]):
    """Records, a source, a writer that must not be looked at."""

    def __len__(self) -> int:
        raise _Touched

    def __getitem__(self, at: Any) -> Any:
        raise _Touched

    def __call__(self, *_: Any) -> Any:
        raise _Touched

    def __getattr__(self, name: str) -> Any:
        raise _Touched


def binds_alone(policy: Policy, context: BindContext) -> bool:
    """Whether a policy binds without a look at records, writers or models: it draws from its options and the record."""
    nothing: Any = _Nothing()
    try:
        bind_policy(
            policy, replace(context, records=nothing, source=nothing, load_model=nothing, writer=nothing, apply=nothing)
        )
    except _Touched:
        return False
    return True


@dataclass(frozen=True)
class Promised(BoundPolicy):
    """A bound policy held to `max_context_tokens`."""

    policy: BoundPolicy
    limit: int

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        return self._held(self.policy.draw(record, key))

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        return self._held(self.policy.share(records, key))

    def _held(self, drawn: ContextDraw) -> ContextDraw:
        others = tuple(replace(d, limit=self.limit) for d in drawn.alternatives)
        return replace(drawn, limit=self.limit, alternatives=others)

    def draws_alone(self, record: Record, key: DrawKey) -> bool:
        return self.policy.draws_alone(record, key)

    def shares(self) -> tuple[Share, ...]:
        return self.policy.shares()


def compose(record: Record, context: BoundPolicy, key: DrawKey) -> Sequence:
    """The sequence that is trained on: the drawn context, then the record or what is learned in its place."""
    drawn = context.draw(record, key)
    others = tuple(_sequence(record, other, key) for other in drawn.alternatives)
    return replace(_sequence(record, drawn, key), alternatives=others)


def _sequence(record: Record, drawn: ContextDraw, key: DrawKey) -> Sequence:
    provenance = {
        "record": record.id, "origin": record.origin, "epoch": key.epoch, "seed": key.seed, **drawn.provenance
    }  # fmt: skip
    learned = drawn.record if drawn.record is not None else record
    rejected = drawn.rejected or learned.rejected
    return Sequence(
        drawn.segments + learned.segments, learned.ends, provenance, len(drawn.segments), drawn.limit,
        drawn.segments + rejected if rejected else (), replayed=drawn.replayed,
    )  # fmt: skip
