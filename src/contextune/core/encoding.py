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
from typing import TYPE_CHECKING, Any, cast

from contextune.core.errors import UserError
from contextune.core.items import Prompt, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    Tokenizer = PreTrainedTokenizerBase
else:
    Tokenizer = object  # this room must not import transformers

Markup = bool | frozenset[str]
"""Which control tokens of a text are control tokens: all, none, or these."""
DEFAULT_WINDOW = 2048
"""Where neither model nor tokenizer says how long a text may be (lm-evaluation-harness's default)."""
BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A byte of a character that the vocabulary lacks; some tokenizers list these among their special tokens."""
UNSET = int(1e30)
"""What transformers writes as a tokenizer's `model_max_length` when nobody has set it."""
ANCHOR = "\n"
"""Stands before a text that is encoded as the middle of another. No vocabulary with a space at the beginning of
texts merges a line end with the word behind it; where one does, the text is encoded alone."""
MARK = "\ue000answer\ue000"
"""Stands for an answer where it is to be seen what a chat template writes around it."""
DOCUMENT_ENDS = (
    "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|eos|>", "</s>", "<｜end▁of▁sentence｜>", "<|endofdocument|>",
)  # fmt: skip
"""Tokens by which models' pretraining separated documents."""


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
    before = list(tokenizer.encode(ANCHOR, add_special_tokens=False))
    whole = _encode(ANCHOR + text, tokenizer, markup)
    return whole[len(before) :] if whole[: len(before)] == before else _encode(text, tokenizer, markup)


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
        flags = _flags(mark[0], tokenizer) if mark else None
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
def spellings(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Finds control tokens in a text."""
    tokens = sorted(control_tokens(tokenizer), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")


def spelled(text: str, tokenizer: Tokenizer) -> frozenset[str]:
    """The control tokens that a text spells out."""
    return frozenset(spellings(tokenizer).findall(text))


def _flags(token: str, tokenizer: Tokenizer) -> Any:
    """The added token, with whether it takes the white space beside it."""
    return next((t for t in tokenizer.added_tokens_decoder.values() if str(t) == token), None)


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


@lru_cache(maxsize=64)
def control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Spelling and id of each token that is no text: BOS, end of text, turn markers. Unknown words are text."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    tokens = {str(token): int(i) for i, token in added.items() if getattr(token, "special", False)}
    named = list(getattr(tokenizer, "all_special_tokens", ()))
    tokens |= dict(zip(named, cast("list[int]", tokenizer.convert_tokens_to_ids(named)), strict=True)) if named else {}
    bos, eos, pad, unk = (getattr(tokenizer, f"{k}_token", None) for k in ("bos", "eos", "pad", "unk"))
    unknown = {unk} - {bos, eos, pad}
    return {t: i for t, i in tokens.items() if t and t not in unknown and not BYTE.fullmatch(t)}


def added_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Spelling and id of each token beside the trained vocabulary, control tokens and others."""
    return {str(token): int(i) for i, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}


@lru_cache(maxsize=64)
def controls(tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(control_tokens(tokenizer).values())


def decode(ids: Iterable[int], tokenizer: Tokenizer, follows: bool = True) -> str:
    """The text of ids without control tokens; with `follows`, of ids behind others (what a model has written).

    Nothing is tidied up. Behind other ids the space of a first word is part of the text.
    """
    ids = list(ids)
    if not (follows and joins(tokenizer)):
        return _decode(ids, tokenizer)
    anchor = list(tokenizer.encode(ANCHOR, add_special_tokens=False))
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


@lru_cache(maxsize=64)
def begins(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that this tokenizer puts before a text by its own convention: a BOS or nothing."""
    whole, bare = list(tokenizer.encode("a")), list(tokenizer.encode("a", add_special_tokens=False))
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return tuple(whole[:at])


@lru_cache(maxsize=64)
def opens(tokenizer: Tokenizer) -> tuple[int, ...]:
    """What precedes a target that has nothing before it: BOS, or the end of a document where there is no BOS.

    Every token of a target is then predicted from something, in continued pretraining as with a context, so that
    arms train on the same tokens. Scoring without a prompt begins with the same token. A BOS that the tokenizer does
    not add and that the chat template opens its turns with (SmolLM2's `<|im_start|>`) is no beginning of a text.
    """
    bos = tokenizer.bos_token_id
    if begins(tokenizer) or bos is None or _in_turns(str(tokenizer.bos_token), tokenizer):
        end = document_end(tokenizer)
        return begins(tokenizer) or (() if end is None else (end,))
    return (int(bos),)


@lru_cache(maxsize=64)
def document_end(tokenizer: Tokenizer) -> int | None:
    """The token that ends a document: the end of text, unless it only ends turns and the vocabulary has another."""
    eos = tokenizer.eos_token
    if eos is None or eos in DOCUMENT_ENDS or not _in_turns(str(eos), tokenizer):
        return None if eos is None else int(tokenizer.eos_token_id)
    known = dict(control_tokens(tokenizer))
    if tokenizer.unk_token is not None:  # SmolLM2 calls its <|endoftext|> that too
        known[str(tokenizer.unk_token)] = int(tokenizer.unk_token_id)
    return next((known[token] for token in DOCUMENT_ENDS if token in known), int(tokenizer.eos_token_id))


@lru_cache(maxsize=64)
def turn_end(tokenizer: Tokenizer) -> int | None:
    """The token that ends an assistant's turn; None where there is no chat template or where it ends none."""
    whole = _conversation(tokenizer)
    if MARK not in whole:
        return None if not tokenizer.chat_template else cast("int | None", tokenizer.eos_token_id)
    tail = whole.rpartition(MARK)[2]
    tokens = added_tokens(tokenizer) | control_tokens(tokenizer)
    found = [(at, -len(token), i) for token, i in tokens.items() if (at := tail.find(token)) >= 0]
    return min(found)[2] if found else None


def text_ends(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens at which writing stops: the end of text, and those of a turn and a document where they are others."""
    ends = (tokenizer.eos_token_id, turn_end(tokenizer), document_end(tokenizer))
    return tuple(dict.fromkeys(i for i in ends if i is not None))


def _in_turns(token: str, tokenizer: Tokenizer) -> bool:
    """Whether the chat template writes this token anywhere but at the beginning of a conversation."""
    return token in _conversation(tokenizer)[1:]


@lru_cache(maxsize=64)
def _conversation(tokenizer: Tokenizer) -> str:
    """A question and an answer (MARK) as the chat template writes them; "" where it wants other messages."""
    if not getattr(tokenizer, "chat_template", None):
        return ""
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": MARK}]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # each conversation says so itself
        return ""


def window(model: Any, tokenizer: Tokenizer) -> int:
    """Tokens the model reads at once at most."""
    config = getattr(model.config, "text_config", None) or model.config
    for key in ("n_positions", "max_position_embeddings", "n_ctx"):
        if getattr(config, key, None) is not None:
            return int(getattr(config, key))
    longest = getattr(tokenizer, "model_max_length", None)
    return DEFAULT_WINDOW if longest is None or longest >= UNSET else int(longest)


def prefix_token(tokenizer: Tokenizer) -> int:
    """What precedes a text that nothing precedes (`opens`): BOS, else the end of a document."""
    first = opens(tokenizer)
    if not first:
        raise UserError("the tokenizer has neither a BOS nor an EOS token", "set one and save the tokenizer again")
    return int(first[0])


def with_specials(text: str, tokenizer: Tokenizer, markup: Markup = False) -> list[int]:
    """Ids of a row's beginning: with the tokenizer's BOS, unless a template has written it, or a chat template none."""
    ids, bos = encode(text, tokenizer, markup=markup), list(begins(tokenizer))
    return ids if markup is True or (markup and bos and ids[: len(bos)] == bos) else [*bos, *ids]


def pair(prompt: str, continuation: str, tokenizer: Tokenizer, markup: Markup = False) -> tuple[list[int], list[int]]:
    """Ids of a prompt and of what follows it, as lm-evaluation-harness takes them.

    Spaces that end the prompt go to the continuation, and the continuation is what the whole text's ids have beyond
    the prompt's: word-boundary tokens then come out as they would in running text. Unlike the harness, an end of
    text that the tokenizer appends is left out: options would be scored from their second token otherwise.
    """
    if prompt == "":
        return list(opens(tokenizer)) or [prefix_token(tokenizer)], encode(continuation, tokenizer)
    given = _given(prompt.rstrip(), tokenizer, markup)
    return list(given), with_specials(prompt + continuation, tokenizer, markup)[len(given) :]


@lru_cache(maxsize=8)
def _given(prompt: str, tokenizer: Tokenizer, markup: Markup) -> tuple[int, ...]:
    """Ids of a prompt, which is asked for once with each of its options."""
    return tuple(with_specials(prompt, tokenizer, markup))


def chat_text(turns: Turns, tokenizer: Tokenizer, answer: str | None = None) -> str:
    """A conversation as the tokenizer's chat template writes it, up to the assistant's answer or with it.

    Raises UserError where there is no template, or where it refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise UserError("the tokenizer has no chat template", "leave out chat, or take a chat or instruct model")
    from jinja2 import TemplateError

    said = turns if answer is None else (*turns, ("assistant", answer))
    messages = [{"role": role, "content": text} for role, text in said]
    try:  # reasoning models would spend a short answer on thinking; other templates ignore the variable
        return str(
            tokenizer.apply_chat_template(
                messages, add_generation_prompt=answer is None, tokenize=False, enable_thinking=False
            )
        )
    except (TemplateError, TypeError, ValueError, LookupError) as e:
        roles = ", ".join(role for role, _ in said)
        raise UserError(
            f"the chat template refuses {roles}: {e}", "leave out what it refuses, e.g. chat.system"
        ) from None


def chat_ids(turns: Turns, tokenizer: Tokenizer) -> list[int]:
    """Ids of a conversation that the assistant is to continue; no special token is added to the template's."""
    return encode_markup(chat_text(turns, tokenizer), [text for _, text in turns], tokenizer)


def chat_pair(turns: Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of a conversation up to where the template puts an answer (past empty thoughts, channels), and of the answer.

    A space that the template writes before answers goes to the answer.
    """
    ids, space = _up_to_answer(turns, tokenizer)
    return list(ids), encode(space + answer, tokenizer, amid=True)


@lru_cache(maxsize=8)
def _up_to_answer(turns: Turns, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str]:
    before, found, _ = chat_text(turns, tokenizer, MARK).rpartition(MARK)
    before = before if found else chat_text(turns, tokenizer)
    given = before.rstrip(" ")
    return tuple(encode_markup(given, [text for _, text in turns], tokenizer)), before[len(given) :]


def asked_pair(asked: str | Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of what an item asks, a text or a conversation, and of an answer to it."""
    if not isinstance(asked, str):
        return chat_pair(asked, answer, tokenizer)
    return pair(asked, answer, tokenizer, _of_template(asked, tokenizer))


def asked_ids(asked: str | Turns, tokenizer: Tokenizer) -> list[int]:
    """Ids of what an item asks, behind which the model is to write."""
    if not isinstance(asked, str):
        return chat_ids(asked, tokenizer)
    return with_specials(asked, tokenizer, _of_template(asked, tokenizer))


def _of_template(asked: str, tokenizer: Tokenizer) -> Markup:
    """The control tokens that the recipe's template spells in a prompt."""
    return (spelled(asked.template, tokenizer) if isinstance(asked, Prompt) and asked.template else None) or False
