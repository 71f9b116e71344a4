"""A learning prompt before each record (contextual fine-tuning), and its length-matched control.

CFT, arXiv 2503.09032: minimise  −E_{x, c} Σ_k log P(x_k | c, x_<k)  with x from the corpus and c
uniform on a set of prompts. The draw is by (seed, epoch, record), so that a text meets another
prompt in another epoch; sets whose prompts correspond (learning, negative, neutral) are drawn at
the same places.

    prompts         "Critical Analysis: Test the text as you go. … "
    random_tokens   as many tokens as that prompt has, each uniform on the vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..errors import UserError
from ..prompts import PromptSet, load
from ..sequence import Moment, Record, Segment, encode
from .base import Drawn, Policy, Scene, register

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


class _FromSet(Policy):
    """What both policies say of the set they draw from."""

    set: str = Field("learning", description="name of a prompt set, or a .yaml or .txt file")
    per: Literal["chunk", "document"] = Field("chunk", description="what shares a draw within an epoch")
    categories: tuple[str, ...] = Field((), description="draw from these categories only; default: all")

    def prompts(self, folder: Path | None) -> PromptSet:
        return load(self.set, folder).only(self.categories)

    def content(self, folder: Path | None) -> str:
        return self.prompts(folder).hash

    def place(self, record: Record, at: Moment, size: int) -> int:
        """Which prompt of `size` is drawn: the same place whatever the set and the policy."""
        return at.rng("prompt", self._key(record)).randrange(size)

    def noise(self, record: Record, at: Moment, vocabulary: tuple[int, ...], size: int) -> tuple[int, ...]:
        return tuple(at.rng("noise", self._key(record)).choices(vocabulary, k=size))

    def first(self, records: Seq[Record]) -> Record:
        """The record that a draw for several of them is made for (`train.share`)."""
        if self.per == "document":
            raise UserError("train.share draws for a few records of an update, per: document for those of a document",
                            "leave train.share out, or use per: chunk")  # fmt: skip
        return records[0]

    def _key(self, record: Record) -> str:
        return record.document or record.id if self.per == "document" else record.id


@register
class Prompts(_FromSet):
    """One prompt of a set, drawn uniformly."""

    name: ClassVar[str] = "prompts"
    policy: Literal["prompts"] = "prompts"

    def bind(self, scene: Scene) -> Drawing:
        chosen = self.prompts(scene.folder)
        texts = [chosen.render(p) for p in chosen.prompts]
        drawn = tuple(
            Drawn(
                (Segment(text, "context"),),
                {"set": chosen.name, "version": chosen.version, "prompt": p.id, "category": p.category},
            )
            for p, text in zip(chosen.prompts, texts, strict=True)
        )
        return Drawing(self, drawn, max(len(encode(text, scene.tokenizer)) for text in texts))


@dataclass(frozen=True)
class Drawing:
    policy: _FromSet
    drawn: tuple[Drawn, ...]
    most: int

    def before(self, record: Record, at: Moment) -> Drawn:
        return self.drawn[self.policy.place(record, at, len(self.drawn))]

    def shared(self, records: Seq[Record], at: Moment) -> Drawn:
        return self.before(self.policy.first(records), at)

    def longest(self) -> int:
        return self.most


@register
class RandomTokens(_FromSet):
    """Random tokens, as many as the prompt has that `prompts` draws at the same seed, epoch and record."""

    name: ClassVar[str] = "random_tokens"
    policy: Literal["random_tokens"] = "random_tokens"

    def bind(self, scene: Scene) -> Noise:
        chosen = self.prompts(scene.folder)
        sizes = tuple(len(encode(chosen.render(p), scene.tokenizer)) for p in chosen.prompts)
        return Noise(self, chosen, sizes, ordinary(scene.tokenizer), scene.tokenizer)


@dataclass(frozen=True)
class Noise:
    policy: _FromSet
    chosen: PromptSet
    sizes: tuple[int, ...]
    vocabulary: tuple[int, ...]
    tokenizer: Tokenizer

    def before(self, record: Record, at: Moment) -> Drawn:
        place = self.policy.place(record, at, len(self.sizes))
        ids = self.policy.noise(record, at, self.vocabulary, self.sizes[place])
        segment = Segment(str(self.tokenizer.decode(list(ids))), "context", ids)
        source = {"set": self.chosen.name, "version": self.chosen.version}
        return Drawn((segment,), {**source, "length_of": self.chosen.prompts[place].id, "tokens": len(ids)})

    def shared(self, records: Seq[Record], at: Moment) -> Drawn:
        return self.before(self.policy.first(records), at)

    def longest(self) -> int:
        return max(self.sizes)


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
