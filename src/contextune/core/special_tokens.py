"""Tokens that are no text: what a tokenizer begins texts with, and what ends documents and turns.

A tokenizer names one end of text. Where a chat template ends its turns with it (SmolLM2, Qwen, Llama 3 Instruct),
documents end with another token of the vocabulary, as in pretraining.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from .errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    Tokenizer = PreTrainedTokenizerBase
else:
    Tokenizer = object  # this room must not import transformers

BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A byte of a character that the vocabulary lacks; some tokenizers list these among their special tokens."""
MARK = "\ue000answer\ue000"
"""Stands for an answer where it is to be seen what a chat template writes around it."""
DOCUMENT_ENDS = (
    "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|eos|>", "</s>", "<｜end▁of▁sentence｜>", "<|endofdocument|>",
)  # fmt: skip
"""Tokens by which models' pretraining separated documents."""


@lru_cache(maxsize=64)
def added_tokens(tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokens beside the trained vocabulary by their spelling, control tokens and others."""
    return {str(token): token for token in getattr(tokenizer, "added_tokens_decoder", {}).values()}


@lru_cache(maxsize=64)
def control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Spelling and id of each token that is no text: BOS, end of text, turn markers. Unknown words are text."""
    special = [text for text, token in added_tokens(tokenizer).items() if getattr(token, "special", False)]
    named = list(dict.fromkeys([*special, *getattr(tokenizer, "all_special_tokens", ())]))
    ids = cast("list[int]", tokenizer.convert_tokens_to_ids(named)) if named else []
    bos, eos, pad, unk = (getattr(tokenizer, f"{k}_token", None) for k in ("bos", "eos", "pad", "unk"))
    unknown = {unk} - {bos, eos, pad}
    return {t: i for t, i in zip(named, ids, strict=True) if t and t not in unknown and not BYTE.fullmatch(t)}


@lru_cache(maxsize=64)
def controls(tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(control_tokens(tokenizer).values())


@lru_cache(maxsize=64)
def spellings(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Finds control tokens in a text."""
    return _pattern(control_tokens(tokenizer))


def _pattern(tokens: Mapping[str, Any]) -> re.Pattern[str]:
    """Any of the tokens, the longest first; nothing where there are none."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")


def spelled(text: str, tokenizer: Tokenizer) -> frozenset[str]:
    """The control tokens that a text spells out."""
    return frozenset(spellings(tokenizer).findall(text))


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
    end = end_mark(whole.rpartition(MARK)[2], tokenizer)
    return None if end is None else cast(int, tokenizer.convert_tokens_to_ids(end[0]))


def end_mark(tail: str, tokenizer: Tokenizer) -> re.Match[str] | None:
    """Where a turn ends in what a template writes behind an answer: its first control token, else added token."""
    return spellings(tokenizer).search(tail) or _pattern(added_tokens(tokenizer)).search(tail)


@lru_cache(maxsize=64)
def end_behind(mark: str, tokenizer: Tokenizer) -> str:
    """The end of text, where the chat template writes it right behind that end mark of each turn, not of the last alone
    (Cohere: `<|END_RESPONSE|><|END_OF_TURN_TOKEN|>`); "" elsewhere.
    """
    turns = [("user", "question"), ("assistant", MARK), ("user", "question")]
    try:
        whole = _rendered([{"role": role, "content": text} for role, text in turns], tokenizer)
    except Exception:  # it wants other messages
        return ""
    eos = str(tokenizer.eos_token or "")
    return eos if eos != mark and whole.partition(MARK)[2].startswith(mark + eos) else ""


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
        return _rendered(turns, tokenizer)
    except Exception:  # each conversation says so itself
        return ""


def write_chat(messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, hint: str, **options: Any) -> str:
    """A conversation as the chat template writes it. Raises UserError, with the hint, where the template refuses it."""
    from .template_budget import LimitError

    try:
        return _rendered([dict(m) for m in messages], tokenizer, **options)
    except LimitError as e:
        raise UserError(f"the chat template takes {e}", "it comes with the model: take the publisher's own") from None
    except Exception as e:  # the template is code that came with the model
        roles = ", ".join(m["role"] for m in messages[:9]) + (" …" if len(messages) > 9 else "")
        raise UserError(f"the chat template refuses {roles}: {first_line(e)}", hint) from None


def _rendered(messages: list[dict[str, Any]], tokenizer: Tokenizer, **options: Any) -> str:
    from .bounded_jinja import bound_chat_templates

    bound_chat_templates()
    return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
