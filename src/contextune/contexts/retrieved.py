"""Passages before a record, as retrieval will put them before a question: the right one among near ones.

    "Belmora lies on the Ost. …\n\nThe harbour of Belmora was built by Otto Kessel. …\n\n"    passages, context
    "Who built the harbour of Belmora?"                                                     its prompt, context
    " Otto Kessel"                                                                          its answer, target

Which passage is right is known of a pair by its column `passage`, and of what was inferred by the text that it was
inferred from. In a share of the draws it is left out, so that the answer is learned too, not only where to look
(RAFT, arXiv 2403.10131, has P = 0.8 with it). A raw text has no right passage: it is learned after near ones, never
after itself or a duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import count
from contextune.core.errors import UserError
from contextune.core.options import LONGEST, Name
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer
from contextune.retrieval import Lexical, Pool, SimilarityOption, answer, open_pool
from contextune.retrieval.passages import fitting, holds, laid_out

from .policy import BoundPolicy, ContextDraw, Policy, Share

MORE = 4
"""Neighbours that are known beyond k, as some hold the right passage."""


@registry.policies("retrieved")
class Retrieved(Policy):
    """Passages of a source, the right one among near ones."""

    retrieve: Name = Field(description="source of texts whose records, as they are cut, are the passages")
    k: int = Field(4, ge=1, le=64, description="passages, the right one counted")
    without: float = Field(0.2, ge=0, le=1, description="share of the contexts without the right passage")
    similarity: SimilarityOption = Field(default_factory=Lexical, description="what near is")
    passage: str = Field("passage", description="column of a pair that holds its right passage")
    max_tokens: int = Field(
        512, ge=8, le=LONGEST, description="tokens of passages at most; one that does not fit is left out whole"
    )
    separator: str = Field("\n\n", description="text after each passage")
    duplicate_threshold: float = Field(
        0.9, gt=0, le=1, description="a passage as similar as this to a raw text is its duplicate, and never shown"
    )

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        return self.max_tokens

    def sources(self) -> tuple[str, ...]:
        return (self.retrieve,)

    def bind(self, context: BindContext) -> BoundPolicy:
        if context.source is None:
            raise UserError(f"context {self.name}: there are no passages to retrieve from", "use it in a recipe")
        pool = tuple(context.source(self.retrieve))
        if not pool or any(len(r.segments) != 1 for r in pool):
            raise UserError(
                f"context {self.name}: data.{self.retrieve} holds no plain texts", "retrieve: name a source of texts"
            )
        near = open_pool(
            context.records, pool, self.similarity, self.k + MORE, context, duplicate_threshold=self.duplicate_threshold
        )
        texts: dict[str, list[str]] = {}
        for record in pool:
            for name in {record.id, record.document}:
                texts.setdefault(name, []).append(record.text)
        right = {near.key(r): text for r in context.records if (text := self._right(r, texts))}
        wide = {t for t in set(right.values()) if not fitting([t], self.max_tokens, self.separator, context.tokenizer)}
        able = {key: text for key, text in right.items() if text not in wide}
        if wide:
            context.warn(
                f"context {self.name}: the right passage of {len(right) - len(able)} rows has more than "
                f"{self.max_tokens} tokens (max_tokens) and cannot be shown"
            )
        known = sum(near.key(r) in able for r in context.records)
        context.say(
            f"context {self.name}: the right passage is known of {known} of {len(context.records)} rows; the others "
            "are learned after near ones alone"
        )
        return Retrieving(self, near, able, context.tokenizer, known / max(1, len(context.records)))

    def _right(self, record: Record, texts: Mapping[str, Seq[str]]) -> str:
        """The text that answers a record; "" where none is known."""
        own = record.fields.get(self.passage)
        if isinstance(own, str) and own.strip() and answer(record):
            return own
        sources = record.fields.get("source")
        first = sources[0] if isinstance(sources, list | tuple) and sources else sources
        found = texts.get(str(first), ()) if first is not None else ()
        return found[0] if len(found) == 1 else ""


@dataclass(frozen=True)
class Retrieving(BoundPolicy):
    policy: Retrieved
    near: Pool
    right: Mapping[tuple[str, str], str]
    """The passage that answers a record, by the pool's key of it."""
    tokenizer: Tokenizer
    known: float
    """Share of the rows whose right passage is known."""

    def shares(self) -> tuple[Share, ...]:
        wanted = 1 - self.policy.without
        return (Share("right passage", wanted, wanted * self.known),) if self.known else ()

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        rng, policy = key.rng("retrieved", record.id), self.policy
        right = self.right.get(self.near.key(record), "")
        shown = bool(right) and rng.random() >= policy.without
        found = self.near.nearest(self.near.row(record), policy.k + MORE, rng)
        others = [self.near.records[place] for place, _ in found]
        if right:
            others = [r for r in others if not holds([r.text], right)]
        ranked = [*([right] if shown else []), *(r.text for r in others)][: policy.k]
        names = [*(["right"] if shown else []), *(r.id for r in others)][: policy.k]
        taken = fitting(ranked, policy.max_tokens, policy.separator, self.tokenizer)
        rng.shuffle(taken)
        while count(text := laid_out((ranked[i] for i in taken), policy.separator), self.tokenizer) > policy.max_tokens:
            taken = taken[:-1]  # in another order tokens may straddle passages elsewhere
        provenance = {
            "retrieved": [names[i] for i in taken],
            "slot_one": "right passage" if shown and 0 in taken else "near passages",
        }
        return ContextDraw((Segment(text, "context"),) if taken else (), provenance)
