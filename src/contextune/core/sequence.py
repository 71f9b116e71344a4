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
from itertools import pairwise
from typing import Any, Literal

from .encoding import Markup, joins, remembered, restarts
from .errors import UserError
from .special_tokens import Tokenizer as Tokenizer
from .special_tokens import begins, document_end, opens

IGNORED = -100
"""The label of a token that is not trained on (the convention of torch and transformers)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text that is either conditioned on (`context`) or learned (`target`).

    `ids`, where given, stand for the text as they are: a control made of random tokens has no
    text that would give the same tokens back. `markup` says which control tokens in it
    are control tokens; what a chat template wrote (True) brings its own BOS, or none.
    """

    text: str
    role: Literal["context", "target"]
    ids: tuple[int, ...] | None = None
    markup: Markup = False


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to learn, the same in every arm.

    `id` is unique within its source; `document` names what it was cut from, which splits and
    per-document draws go by; `ends` says that the token that ends documents follows and is trained on.
    """

    id: str
    segments: tuple[Segment, ...]
    document: str = ""
    ends: bool = True
    origin: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    rejected: tuple[Segment, ...] = ()
    """The same with the answer that is not to be given, for objectives that compare two; empty: there is none."""

    @property
    def text(self) -> str:
        """All of it, contexts too."""
        return "".join(s.text for s in self.segments)

    @property
    def target(self) -> str:
        return "".join(s.text for s in self.segments if s.role == "target")


@dataclass(frozen=True, slots=True)
class DrawKey:
    """What decides a draw. It is a pure function of (seed, epoch, key) and of nothing else, but for policies that end
    before the training does, which look at `done`."""

    seed: int
    epoch: int
    done: float = field(default=0.0, compare=False)
    """The share of the stage's draws that come before this one."""

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
    rejected: tuple[Segment, ...] = ()
    """The same with the answer that is not to be given; empty: there is none."""
    alternatives: tuple[Sequence, ...] = ()
    """Of these the trainer takes the one of lowest loss, before the update; empty: there is no choice."""
    replayed: bool = False
    """General text, which is there against forgetting."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids and labels of one sequence, both of length n; `cut` context tokens were left out.

    `labels[i]` is `ids[i]` where position i is trained on, else -100 (unshifted, as transformers has it).
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    cut: int = 0
    rejected: Rendered | None = None
    alternatives: tuple[Rendered, ...] = ()
    bare: Rendered | None = None
    """The same without the context that was drawn, for objectives that compare the two."""
    replayed: bool = False
    """General text, which is there against forgetting."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        """Tokens that are trained on. The first token of a row has nothing before it to predict it from."""
        return sum(label != IGNORED for label in self.labels[1:])


Piece = tuple[Literal["context", "target"], list[int]]
"""The role of a segment and its ids."""


def hold_to_promise(tokens: int, limit: int | None, record: object) -> None:
    """UserError where a drawn context has more tokens than its policy promised, by which texts were cut."""
    if limit is not None and tokens > limit:
        raise UserError(
            f"record {record}: its context has {tokens} tokens, but the policy's max_context_tokens promised {limit} "
            "at most",
            "let max_context_tokens return an upper bound, or let the policy shorten what it draws",
        )


def at_seams(segments: tuple[Segment, ...], tokenizer: Tokenizer, drawn: int = 0) -> list[str]:
    """The segments' texts as they are encoded: a space that ends a prompt is the first character of its answer.

    Most vocabularies write a word and the space before it as one token, so that a prompt that keeps its space has
    other ids than the same text read through (Ġ + Paris for ĠParis). Before a target every tokenizer moves the space;
    one whose text has a space put before it (`joins`) moves it at any seam. But the space that ends a drawn context
    stays with it otherwise: a record's target has the same ids in every arm, whatever is drawn before it.
    """
    texts = [s.text for s in segments]
    for i, (segment, follows) in enumerate(pairwise(segments)):
        asked = segment.role == "context" and follows.role == "target" and i + 1 != drawn and segment.text.strip()
        plain = all(s.ids is None and s.markup is not True for s in (segment, follows))
        spaced = segment.text.endswith(" ") and follows.text[:1].strip()
        if spaced and plain and (asked or joins(tokenizer)):
            texts[i], texts[i + 1] = texts[i][:-1], " " + texts[i + 1]
    return texts


def encode_segments(segments: tuple[Segment, ...], tokenizer: Tokenizer, drawn: int = 0) -> list[Piece]:
    """(role, ids) of each segment, encoded where it stands in the row; joined they are the row without specials.

    No token straddles a context and a target, which is the boundary that generation sees; of a space there, see
    `at_seams`. The first `drawn` segments are a policy's.
    """
    pieces: list[Piece] = []
    before, markup, begun = "", False, False
    for segment, text in zip(segments, at_seams(segments, tokenizer, drawn), strict=True):
        amid = begun and not (markup and restarts(before, tokenizer))
        ids = segment.ids if segment.ids is not None else remembered(text, tokenizer, amid, segment.markup)
        pieces.append((segment.role, list(ids)))
        before, markup, begun = segment.text or before, bool(segment.markup), begun or bool(segment.text.strip(" "))
    return pieces


def lay_out(segments: tuple[Segment, ...], tokenizer: Tokenizer, drawn: int = 0) -> tuple[list[int], list[Piece]]:
    """What a row begins with, and (role, ids) of its segments, of which the first `drawn` are a policy's.

    A chat template writes its own BOS or none: nothing is added before it, and behind a context its BOS moves to the
    row's beginning.
    """
    pieces, bos = encode_segments(segments, tokenizer, drawn), list(begins(tokenizer))
    first = next((i for i, s in enumerate(segments) if s.markup is True), None)
    if first is not None and bos and pieces[first][1][: len(bos)] == bos:
        del pieces[first][1][: len(bos)]
        return bos, pieces
    if first == 0:
        return [], pieces
    return list(opens(tokenizer)) if pieces and pieces[0][0] == "target" else bos, pieces


def render(sequence: Sequence, tokenizer: Tokenizer, max_length: int | None = None) -> Rendered:
    """Ids and labels of a sequence.

    Segments are encoded apart, each as what follows the one before. Where `max_length` (tokens) is exceeded the
    context loses its oldest tokens, never the target.

    Raises UserError where no token would be trained on or the target alone exceeds `max_length`.
    """
    bos, pieces = lay_out(sequence.segments, tokenizer, sequence.drawn)
    row = sequence.provenance.get("record", "?")
    hold_to_promise(sum(len(ids) for _, ids in pieces[: sequence.drawn]), sequence.limit, row)
    empty = not any(ids for role, ids in pieces if role == "target")
    if sequence.ends and (end := document_end(tokenizer)) is not None:
        pieces.append(("target", [end]))

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
    return Rendered(tuple(ids), tuple(labels), cut, replayed=sequence.replayed)
