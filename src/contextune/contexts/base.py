"""What a context policy is: options that a recipe writes, and a pure draw.

A policy is one small file: a pydantic model of its options, registered by name, whose `bind`
is given what a policy may need (the tokenizer, the stage's records, a prompt writer) and returns
the drawing function's owner. Nothing outside the file knows the policy's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from ..registry import Registry
from ..sequence import Moment, Record, Segment, Sequence

if TYPE_CHECKING:
    from ..generate.base import Engine
    from ..sequence import Tokenizer


@dataclass(frozen=True, slots=True)
class Drawn:
    """What stands before a record, and where it came from (plain JSON values)."""

    segments: tuple[Segment, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    """What is learned in the record's place: an edited context needs a target that was edited to match."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a policy may look at: never a test item, never another arm."""

    tokenizer: Tokenizer
    records: Seq[Record]
    folder: Path | None = None
    """Paths in a policy's options are relative to this folder (the recipe's)."""
    engine: Callable[[], Engine] | None = None
    """Opens the text generator, for policies that have contexts written; None where there is none."""
    store: Path | None = None
    """Where generated text is kept."""
    progress: Callable[[int, int], None] | None = None
    """Told (written, of) while text is generated."""
    source: Callable[[str], Seq[Record]] | None = None
    """The records of a source that the policy names in `sources`; None while only `longest` is asked for."""
    cache: Path | None = None
    """Folder where similarities are kept; None: nowhere."""
    model: str | None = None
    """Folder of the recipe's own model, untrained."""
    say: Callable[[str], None] | None = None
    """Tells the user what was found."""
    warn: Callable[[str], None] | None = None
    """Tells the user, and the report, what is not as it should be."""


class Context(Protocol):
    """A bound policy."""

    def before(self, record: Record, at: Moment) -> Drawn:
        """The context of `record` at a moment: a pure function of the record, the seed and the epoch."""
        ...

    def longest(self) -> int:
        """An upper bound, in tokens, of what `before` returns; it sets the content budget of all arms."""
        ...


class Policy(BaseModel):
    """Options of a context policy; subclasses add fields and `bind`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]

    policy: str

    def bind(self, scene: Scene) -> Context:
        raise NotImplementedError

    def content(self, folder: Path | None) -> object:
        """What, besides the options, decides the draws (a prompt file's text): part of a run's identity."""
        return None

    def sources(self) -> tuple[str, ...]:
        """Sources that contexts are drawn from, beside the stage's own records."""
        return ()

    def trains(self, record: Record) -> bool:
        """Whether the stage learns a record; False for those that it only shows in contexts."""
        return True


_policies: Registry[type[Policy]] = Registry("context policy")
register, names, find = _policies.register, _policies.names, _policies.find


def parse(value: object) -> Policy:
    """A policy as a recipe writes it: its name, or a mapping with the key `policy`."""
    if isinstance(value, Policy):
        return value
    if isinstance(value, str):
        value = {"policy": value}
    if not isinstance(value, dict) or "policy" not in value:
        raise ValueError("a context is a policy's name or a mapping with the key 'policy'")
    return find(str(value["policy"])).model_validate(value)


def plain(policy: Policy) -> dict[str, Any]:
    """A policy as a recipe writes it; what is left at its default is left out."""
    return {"policy": policy.policy, **policy.model_dump(mode="json", exclude_defaults=True)}


Inner = Annotated[Any, BeforeValidator(parse), PlainSerializer(plain)]
"""A policy among the options of another."""


def compose(record: Record, context: Context, at: Moment) -> Sequence:
    """The sequence that is trained on: the drawn context, then the record or what is learned in its place."""
    drawn = context.before(record, at)
    provenance = {"record": record.id, "origin": record.origin, "epoch": at.epoch, "seed": at.seed, **drawn.provenance}
    learned = drawn.record if drawn.record is not None else record
    return Sequence(drawn.segments + learned.segments, learned.ends, provenance)
