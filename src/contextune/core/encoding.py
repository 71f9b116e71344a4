"""The one place where text becomes token ids and ids become text.

Training, scoring, generation, preview and the counts of tokens all encode here:

- Text is encoded as text: a control token that a user's text spells out (`<s>`, `<|im_end|>`) becomes plain
  characters. Control tokens are read in `markup` only: in what a chat template wrote (True), or those that a recipe's
  own template spells (a set of them).
- A text that follows another is encoded as the middle of a text. SentencePiece tokenizers put a space before the
  first word of whatever they are given, which belongs to the beginning of a text only.
- What a tokenizer adds of its own is its beginning (BOS) and never its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from .errors import UserError
from .special_tokens import Tokenizer, added_tokens, control_tokens, controls, spellings

Markup = bool | frozenset[str]
"""Which control tokens of a text are control tokens: all, none, or these."""
ANCHOR = "\n"
"""Precedes a text that is encoded as a continuation. Vocabularies whose tokenizers prepend a space to a text do not
merge a line break with the word after it."""
ANCHORS = (ANCHOR, ".", "0")
"""What is tried in turn where a vocabulary merges one with the text behind it (two line breaks); where it merges all,
the text is encoded alone."""


def encode(text: str, tokenizer: Tokenizer, amid: bool = False, markup: Markup = False) -> list[int]:
    """Ids of `text` without special tokens added: as the beginning of a text, or `amid` one.

    Raises UserError where a control token in the text cannot be written as plain characters.
    """
    return _amid(text, tokenizer, markup) if amid and text and joins(tokenizer) else _encode(text, tokenizer, markup)


@lru_cache(maxsize=16384)
def remembered(text: str, tokenizer: Tokenizer, amid: bool, markup: Markup) -> tuple[int, ...]:
    """`encode` of what comes again and again: prompts, examples, targets."""
    return tuple(encode(text, tokenizer, amid, markup))


def encode_all(texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    """`encode` of many texts, each as the beginning of a text, over all cores."""
    if not texts:
        return []
    found = tokenizer(list(texts), add_special_tokens=False, **as_text(tokenizer))["input_ids"]
    marks = controls(tokenizer)
    return [list(ids) if marks.isdisjoint(ids) else encode(t, tokenizer) for t, ids in zip(texts, found, strict=True)]


def _encode(text: str, tokenizer: Tokenizer, markup: Markup) -> list[int]:
    if markup is True:
        return list(tokenizer.encode(text, add_special_tokens=False))
    if markup and any(token in text for token in markup):
        return _split(text, tokenizer, lambda mark: mark[0] in markup)
    ids = list(tokenizer.encode(text, add_special_tokens=False, **as_text(tokenizer)))
    return ids if controls(tokenizer).isdisjoint(ids) else _spelled(text, tokenizer)


@lru_cache(maxsize=64)
def as_text(tokenizer: Tokenizer) -> dict[str, Any]:
    """Options by which a tokenizer reads control tokens as characters; those that always do have none."""
    try:
        tokenizer.encode("a", add_special_tokens=False, split_special_tokens=True)
    except (TypeError, ValueError):
        return {}
    return {"split_special_tokens": True}


def _spelled(text: str, tokenizer: Tokenizer) -> list[int]:
    """For vocabularies that hold a control token as an ordinary piece: its spelling is broken after one character."""
    for token in sorted(control_tokens(tokenizer), key=len, reverse=True):
        head, found, tail = text.partition(token)
        if found and len(token) > 1:
            ids = [*_encode(head + token[:1], tokenizer, False), *_amid(token[1:] + tail, tokenizer, False)]
            if controls(tokenizer).isdisjoint(ids):
                return ids
    named = next((t for t in control_tokens(tokenizer) if t in text), "a control token")
    raise UserError(
        f"the text {text[:40]!r} holds {named}, which this tokenizer can only read as a control token",
        f"write {named} in another way, or remove it",
    )


def _amid(text: str, tokenizer: Tokenizer, markup: Markup) -> list[int]:
    """Ids of a text as they are behind other text."""
    for anchor in ANCHORS:
        before, whole = _anchor(tokenizer, anchor), _encode(anchor + text, tokenizer, markup)
        if whole[: len(before)] == before:
            return whole[len(before) :]
    return _encode(text, tokenizer, markup)


@lru_cache(maxsize=64)
def _anchor(tokenizer: Tokenizer, anchor: str = ANCHOR) -> list[int]:
    return list(tokenizer.encode(anchor, add_special_tokens=False))


def encode_markup(text: str, messages: Iterable[str], tokenizer: Tokenizer) -> list[int]:
    """Ids of what a chat template wrote around `messages`, whose own control tokens are their characters."""
    ours = [m.span() for said in messages if said.strip() for m in re.finditer(re.escape(said.strip()), text)]
    return _split(text, tokenizer, lambda mark: not any(a <= mark.start() and mark.end() <= b for a, b in ours))


def _split(text: str, tokenizer: Tokenizer, control: Callable[[re.Match[str]], bool]) -> list[int]:
    """Ids of a text in which those control tokens are read that `control` says are some; the rest is text."""
    ids, begin, stripped = list[int](), 0, False
    for mark in [*spellings(tokenizer).finditer(text), None]:
        if mark and not control(mark):
            continue
        piece = text[begin : mark.start() if mark else len(text)]
        flags = added_tokens(tokenizer).get(mark[0]) if mark else None
        piece = piece.lstrip() if stripped else piece
        piece = piece.rstrip() if flags and flags.lstrip else piece
        if piece:
            alone = begin == 0 or _restarts_behind_control_tokens(tokenizer)
            ids += encode(piece, tokenizer, amid=not alone)
        if mark:
            ids.append(control_tokens(tokenizer)[mark[0]])
            begin, stripped = mark.end(), bool(flags and flags.rstrip)
    return ids


@lru_cache(maxsize=64)
def joins(tokenizer: Tokenizer) -> bool:
    """Whether a text has other ids behind another text than alone (a space is put before the first word)."""
    return _amid("a", tokenizer, False) != list(tokenizer.encode("a", add_special_tokens=False))


@lru_cache(maxsize=64)
def _restarts_behind_control_tokens(tokenizer: Tokenizer) -> bool:
    token = next(iter(control_tokens(tokenizer)), None)
    whole = list(tokenizer.encode(f"{token}a", add_special_tokens=False)) if token else []
    return whole[1:] == list(tokenizer.encode("a", add_special_tokens=False))


def restarts(before: str, tokenizer: Tokenizer) -> bool:
    """Whether a text behind `before`, which a chat template wrote, is encoded as the beginning of a text.

    Some tokenizers put their space behind each control token.
    """
    return before.endswith(tuple(control_tokens(tokenizer))) and _restarts_behind_control_tokens(tokenizer)


def count(text: str, tokenizer: Tokenizer) -> int:
    """Tokens of a text wherever it stands: as a row's beginning or behind other text, whichever are more."""
    alone = len(encode(text, tokenizer))
    return max(alone, len(_amid(text, tokenizer, False))) if text and joins(tokenizer) else alone


def decode(ids: Iterable[int], tokenizer: Tokenizer, follows: bool = True) -> str:
    """The text of ids without control tokens; with `follows`, of ids behind others (what a model has written).

    Nothing is tidied up. Behind other ids the space of a first word is part of the text.
    """
    ids = list(ids)
    if not (follows and joins(tokenizer)):
        return _decode(ids, tokenizer)
    anchor = _anchor(tokenizer)
    return _decode(anchor + ids, tokenizer)[len(_decode(anchor, tokenizer)) :]


def _decode(ids: list[int], tokenizer: Tokenizer, control: bool = False) -> str:
    return str(
        tokenizer.decode(
            ids,
            skip_special_tokens=not control,
            clean_up_tokenization_spaces=False,
            spaces_between_special_tokens=False,
        )
    )


def token_texts(ids: Iterable[int], tokenizer: Tokenizer) -> list[str]:
    """The text of each token where it stands; together they are the row's text.

    What several tokens make together, as a character of several bytes, is the text of their last, and the others
    have "".
    """
    ids, texts, begin, read = list(ids), list[str](), 0, 0
    for i, token in enumerate(ids):
        before, whole = (_decode(ids[begin:end], tokenizer, control=True) for end in (read, i + 1))
        more = _decode(ids[begin : i + 2], tokenizer, control=True)
        if i + 1 < len(ids) and i - read < 8 and (whole.endswith("\ufffd") or not more.startswith(whole)):
            texts.append("")
            continue
        control = token in controls(tokenizer)
        texts.append(str(tokenizer.convert_ids_to_tokens(token)) if control else whole[len(before) :])
        begin, read = read, i + 1
    return texts
