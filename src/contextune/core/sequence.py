"""One data type for every method: what precedes a text, and which tokens are trained on.

Record    what is to be learned: one chunk, pair or conversation, before any context
Sequence  a record with its drawn context in front, and where that context came from
Rendered  token ids and labels

     context (no loss)              target (loss)              end of text
<s>  "Focus on the key terms. "     "Mitochondria make ATP."   </s>
-100  -100 …                         id    id    id             id
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from .errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    Tokenizer = PreTrainedTokenizerBase
else:
    Tokenizer = object  # this room must not import transformers

IGNORED = -100
"""The label of a token that is not trained on (the convention of torch and transformers)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text that is either conditioned on (`context`) or learned (`target`).

    `ids`, where given, stand for the text as they are: a control made of random tokens has no
    text that would give the same tokens back.
    """

    text: str
    role: Literal["context", "target"]
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to learn, the same in every arm.

    `id` is unique within its source; `document` names what it was cut from, which splits and
    per-document draws go by; `ends` says that an end-of-text token follows and is trained on.
    """

    id: str
    segments: tuple[Segment, ...]
    document: str = ""
    ends: bool = True
    origin: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return "".join(s.text for s in self.segments if s.role == "target")


@dataclass(frozen=True, slots=True)
class DrawKey:
    """What decides a draw. It is a pure function of (seed, epoch, key) and of nothing else."""

    seed: int
    epoch: int

    def rng(self, *key: object) -> random.Random:
        name = "\x1f".join(map(str, (self.seed, self.epoch, *key)))
        return random.Random(hashlib.blake2b(name.encode(), digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class Sequence:
    segments: tuple[Segment, ...]
    ends: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)
    drawn: int = 0
    """How many of the first segments were drawn by the context policy."""
    limit: int | None = None
    """Tokens that they have together at most, as the policy promised; None: it promised nothing."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids and labels of one sequence, both of length n; `cut` context tokens were left out.

    `labels[i]` is `ids[i]` where position i is trained on, else -100 (unshifted, as transformers has it).
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        """Tokens that are trained on. The first token of a row has nothing before it to predict it from."""
        return sum(label != IGNORED for label in self.labels[1:])


def encode(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of `text` alone, without special tokens of the tokenizer's own."""
    return list(tokenizer.encode(text, add_special_tokens=False))


@lru_cache(maxsize=64)
def begins(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that this tokenizer puts before a text by its own convention: a BOS or nothing."""
    probe = tokenizer.encode("a", add_special_tokens=True)
    return (tokenizer.bos_token_id,) if probe and probe[0] == tokenizer.bos_token_id is not None else ()


@lru_cache(maxsize=64)
def opens(tokenizer: Tokenizer) -> tuple[int, ...]:
    """What precedes a target that has nothing before it: BOS, or the end of text where there is no BOS.

    Every token of a target is then predicted from something, in continued pretraining as with a context, so that
    arms train on the same tokens. Scoring without a prompt begins with the same token.
    """
    bos = tokenizer.bos_token_id
    return begins(tokenizer) or (bos if bos is not None else tokenizer.eos_token_id,)


def hold_to_promise(tokens: int, limit: int | None, record: object) -> None:
    """UserError where a drawn context has more tokens than its policy promised, by which texts were cut."""
    if limit is not None and tokens > limit:
        raise UserError(
            f"record {record}: its context has {tokens} tokens, but the policy's max_context_tokens promised {limit} "
            "at most",
            "let max_context_tokens return an upper bound, or let the policy shorten what it draws",
        )


def render(sequence: Sequence, tokenizer: Tokenizer, max_length: int | None = None) -> Rendered:
    """Ids and labels of a sequence.

    Segments are tokenised apart and joined, which is the boundary that generation sees; no token
    ever straddles a context and a target. Where `max_length` (tokens) is exceeded the context
    loses its oldest tokens, never the target.

    Raises UserError where no token would be trained on or the target alone exceeds `max_length`.
    """
    pieces = [(s.role, list(s.ids) if s.ids is not None else encode(s.text, tokenizer)) for s in sequence.segments]
    row = sequence.provenance.get("record", "?")
    hold_to_promise(sum(len(ids) for _, ids in pieces[: sequence.drawn]), sequence.limit, row)
    bos = list(begins(tokenizer))
    if bos and pieces and pieces[0][1][: len(bos)] == bos:
        bos = []  # a chat template has already written it
    elif pieces and pieces[0][0] == "target":
        bos = list(opens(tokenizer))
    empty = not any(ids for role, ids in pieces if role == "target")
    if sequence.ends and tokenizer.eos_token_id is not None:
        pieces.append(("target", [tokenizer.eos_token_id]))

    room = None if max_length is None else max_length - len(bos)
    over = 0 if room is None else max(0, sum(len(ids) for _, ids in pieces) - room)
    cut = over
    ids, labels = list(bos), [IGNORED] * len(bos)
    for role, piece in pieces:
        if role == "target":
            labels += piece
        else:
            dropped = min(over, len(piece))
            piece, over = piece[dropped:], over - dropped
            labels += [IGNORED] * len(piece)
        ids += piece

    if over:
        raise UserError(
            f"record {row}: its target needs {len(ids)} tokens with the specials, max_length is {max_length}",
            "raise train.max_length, lower the source's chunk, or set the source's overlong: drop",
        )
    if empty or not any(label != IGNORED for label in labels[1:]):
        raise UserError(
            f"record {row}: no token is trained on (its target is empty)",
            "remove the row or fill its target column",
        )
    return Rendered(tuple(ids), tuple(labels), cut)
