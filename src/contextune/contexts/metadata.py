"""Metadata before each text: its title, source, date, as far as its row has them.

    title: Tides⏎source: en.wikipedia.org⏎⏎      context
    The tide is the slow rise and fall …          target

Metadata conditioning then cooldown (MeCo; Gao et al., ICML 2025, arXiv 2501.01956): minimise −Σ_k log P(x_k | m, x_<k)
for the first 90% of the training, m the metadata; for the last 10% without m, so that the model works without it.
The end is the policy `cooldown`:

    context: {policy: cooldown, context: {policy: metadata, columns: [url]}, last: 0.1}
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.errors import UserError, nearest
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer
from contextune.core.templates import is_null

from .policy import BoundPolicy, ContextDraw, Policy

MOST = 8
"""Names of columns that an error shows."""


@registry.policies("metadata")
class Metadata(Policy):
    """Columns of the record's row, a line each."""

    columns: tuple[str, ...] = Field(
        ("title", "source", "date"),
        min_length=1,
        description="of the row, in this order; those that it lacks are left out",
    )
    line: str = Field("{name}: {value}\n", description="how a column is written; {name} and {value} stand for it")
    end: str = Field("\n", description="what follows the last line")
    max_tokens: int = Field(64, gt=0, le=100_000, description="what is longer loses its end")

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        return self.max_tokens

    def bind(self, context: BindContext) -> BoundPolicy:
        """UserError where no record has any of the columns; a warning where some lack all."""
        bound = Telling(self, context.tokenizer)
        lacking = sum(not bound.told(r) for r in context.records)
        if context.records and lacking == len(context.records):
            have = sorted({name for r in context.records for name in r.fields})
            found = ", ".join(have[:MOST]) + (f" and {len(have) - MOST} more" if len(have) > MOST else "") or "none"
            raise UserError(
                f"context metadata: no row has any of the columns {', '.join(self.columns)}; found {found}",
                nearest(self.columns[0], have) if have else "read rows with columns of their own, or leave it out",
            )
        if lacking:
            context.warn(
                f"context metadata: {lacking} of {len(context.records)} records have none of the columns "
                f"{', '.join(self.columns)}, and no context"
            )
        return bound

    def write(self, name: str, value: object) -> str:
        return self.line.replace("{name}", name).replace("{value}", str(value).strip())


@dataclass(frozen=True)
class Telling(BoundPolicy):
    policy: Metadata
    tokenizer: Tokenizer

    def told(self, record: Record) -> dict[str, object]:
        """The columns that the record's row has, with their values."""
        values = {name: record.fields.get(name) for name in self.policy.columns}
        return {name: v for name, v in values.items() if not is_null(v) and str(v).strip()}

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        told = self.told(record)
        if not told:
            return ContextDraw((), {"columns": []})
        text = "".join(self.policy.write(name, value) for name, value in told.items()) + self.policy.end
        ids = encode(text, self.tokenizer)
        cut = len(ids) - self.policy.max_tokens
        source = {"columns": list(told), **({"cut": cut} if cut > 0 else {})}
        if cut <= 0:
            return ContextDraw((Segment(text, "context"),), source)
        kept = tuple(ids[: self.policy.max_tokens])
        return ContextDraw((Segment(str(self.tokenizer.decode(list(kept))), "context", kept),), source)
