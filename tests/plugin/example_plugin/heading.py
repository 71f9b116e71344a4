"""Title and source before each text."""

from dataclasses import dataclass

from pydantic import Field

from contextune.contexts import BoundPolicy, ContextDraw, Policy
from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer


@registry.policies("heading")
class Heading(Policy):
    """The row's title and source."""

    columns: tuple[str, ...] = Field(("title", "source"), description="columns, in this order")
    max_tokens: int = Field(32, gt=0, description="what is longer loses its end")

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        return self.max_tokens

    def bind(self, context: BindContext) -> BoundPolicy:
        return Bound(self, context.tokenizer)


@dataclass(frozen=True)
class Bound(BoundPolicy):
    policy: Heading
    tokenizer: Tokenizer

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        told = {name: record.fields[name] for name in self.policy.columns if record.fields.get(name)}
        ids = encode("".join(f"{name}: {value}\n" for name, value in told.items()), self.tokenizer)
        ids = ids[: self.policy.max_tokens]
        segment = Segment(str(self.tokenizer.decode(ids)), "context", tuple(ids))
        return ContextDraw((segment,) if ids else (), {"columns": list(told)})
