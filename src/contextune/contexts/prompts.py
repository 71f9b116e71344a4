"""A learning prompt before each record (contextual fine-tuning), and its length-matched control.

CFT, arXiv 2503.09032: minimise  −E_{x, c} Σ_k log P(x_k | c, x_<k)  with x from the corpus and c
uniform on a set of prompts. The draw is by (seed, epoch, record), so that a text meets another
prompt in another epoch; sets whose prompts correspond (learning, negative, neutral) are drawn at
the same places.

With `choose: loss` it is the prompt after which the model, as it is before the update, finds the text likeliest:

    c(x, θ_t) = argmin_{c ∈ C} −Σ_k log P_θt(x_k | c, x_<k)

as State-Adaptive Prompt Optimization does among paraphrases of a task's prompt (Shi et al., ICML 2026, arXiv
2606.01967). The policy draws the candidates; who trains looks at the loss.

    prompts         "Critical Analysis: Test the text as you go. … "
    random_tokens   as many tokens as that prompt has, each uniform on the vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import count
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer
from contextune.prompts import PromptSet, load, locate

from .policy import BoundPolicy, ContextDraw, Policy


class _FromSet(Policy):
    """What both policies say of the set they draw from."""

    set: str = Field("learning", description="name of a prompt set, or a .yaml or .txt file")
    per: Literal["chunk", "document"] = Field("chunk", description="what shares a draw within an epoch")
    categories: tuple[str, ...] = Field((), description="draw from these categories only; default: all")

    def prompts(self) -> PromptSet:
        return load(self.set).only(self.categories)

    def located(self, folder: Path) -> Self:
        return self.model_copy(update={"set": locate(self.set, folder)})

    def content(self) -> str:
        return self.prompts().hash

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        chosen = self.prompts()
        return max(count(chosen.render(p), tokenizer) for p in chosen.prompts)

    def place(self, record: Record, key: DrawKey, size: int) -> int:
        """Which prompt of `size` is drawn: the same place whatever the set and the policy."""
        return key.rng("prompt", self._key(record)).randrange(size)

    def noise(self, record: Record, key: DrawKey, vocabulary: tuple[int, ...], size: int) -> tuple[int, ...]:
        return tuple(key.rng("noise", self._key(record)).choices(vocabulary, k=size))

    def first(self, records: Seq[Record]) -> Record:
        """The record that a draw for several of them is made for (`train.share`)."""
        if self.per == "document":
            raise UserError("train.share draws for a few records of an update, per: document for those of a document",
                            "leave train.share out, or use per: chunk")  # fmt: skip
        return records[0]

    def _key(self, record: Record) -> str:
        return record.document or record.id if self.per == "document" else record.id


@registry.policies("prompts")
class Prompts(_FromSet):
    """One prompt of a set, drawn uniformly, or the one of lowest loss."""

    choose: Literal["random", "loss"] = Field(
        "random", description="loss: the prompt after which the text's loss is lowest, before each update"
    )
    among: int | None = Field(
        None, ge=2, le=1000, description="choose: loss: prompts that are drawn to choose from; default: all of the set"
    )

    @model_validator(mode="after")
    def _candidates(self) -> Prompts:
        if self.among is not None and self.choose != "loss":
            raise ValueError("among: prompts are compared with choose: loss alone; add it, or leave among out")
        if self.choose == "loss" and self.per == "document":
            raise ValueError("choose: loss goes by each chunk's own loss; use per: chunk")
        return self

    def full(self) -> dict[str, Any]:
        """Without what earlier versions did not know, where it is at its default."""
        return {k: v for k, v in super().full().items() if k not in ("choose", "among") or self.choose != "random"}

    def bind(self, context: BindContext) -> BoundPolicy:
        chosen = self.prompts()
        draws = tuple(
            ContextDraw(
                (Segment(chosen.render(p), "context"),),
                {"set": chosen.name, "version": chosen.version, "prompt": p.id, "category": p.category},
            )
            for p in chosen.prompts
        )
        return Drawing(self, draws)


@dataclass(frozen=True)
class Drawing(BoundPolicy):
    policy: Prompts
    draws: tuple[ContextDraw, ...]

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        drawn = self.draws[self.policy.place(record, key, len(self.draws))]
        if self.policy.choose == "random":
            return drawn
        found = self._candidates(record, key)
        source = {**drawn.provenance, "choose": self.policy.choose, "candidates": len(found)}
        return replace(drawn, provenance=source, alternatives=found)

    def _candidates(self, record: Record, key: DrawKey) -> tuple[ContextDraw, ...]:
        """Those that are compared, in the order of the set."""
        among = self.policy.among or len(self.draws)
        if among >= len(self.draws):
            return self.draws
        places = key.rng("candidates", record.id).sample(range(len(self.draws)), among)
        return tuple(self.draws[place] for place in sorted(places))

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        if self.policy.choose != "random":
            raise UserError(
                "train.share: choose: loss chooses a prompt for one record", "leave train.share out, or choose: random"
            )
        return self.draw(self.policy.first(records), key)


@registry.policies("random_tokens")
class RandomTokens(_FromSet):
    """Random tokens, as many as the prompt has that `prompts` draws at the same seed, epoch and record."""

    def bind(self, context: BindContext) -> BoundPolicy:
        chosen = self.prompts()
        sizes = tuple(count(chosen.render(p), context.tokenizer) for p in chosen.prompts)
        return Noise(self, chosen, sizes, ordinary(context.tokenizer), context.tokenizer)


@dataclass(frozen=True)
class Noise(BoundPolicy):
    policy: RandomTokens
    chosen: PromptSet
    sizes: tuple[int, ...]
    vocabulary: tuple[int, ...]
    tokenizer: Tokenizer

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        place = self.policy.place(record, key, len(self.sizes))
        ids = self.policy.noise(record, key, self.vocabulary, self.sizes[place])
        segment = Segment(str(self.tokenizer.decode(list(ids))), "context", ids)
        source = {"set": self.chosen.name, "version": self.chosen.version}
        return ContextDraw((segment,), {**source, "length_of": self.chosen.prompts[place].id, "tokens": len(ids)})

    def share(self, records: Seq[Record], key: DrawKey) -> ContextDraw:
        return self.draw(self.policy.first(records), key)


def ordinary(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of the vocabulary that text is made of: no special token, and none added for markup."""
    marks = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    ids = tuple(sorted({*tokenizer.get_vocab().values()} - marks))
    if not ids:
        raise UserError(
            "the tokenizer has no ordinary tokens to draw from: all are special or added",
            "use the policy 'prompts' with set: neutral as the control",
        )
    return ids
