"""Text to token ids by the rules of lm-evaluation-harness, so that scores can be held against its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from contextune.core.errors import UserError
from contextune.core.items import Turns
from contextune.core.sequence import Tokenizer, encode

DEFAULT_WINDOW = 2048
"""Where neither model nor tokenizer says how long a text may be (the harness's own default)."""
ANSWER = "Answer0here"
"""Stands for an answer while a chat template is asked what it writes before one."""
UNSET = int(1e30)
"""What transformers writes as a tokenizer's `model_max_length` when nobody has set it."""


def window(model: Any, tokenizer: Tokenizer) -> int:
    """Tokens the model reads at once at most."""
    config = getattr(model.config, "text_config", None) or model.config
    for key in ("n_positions", "max_position_embeddings", "n_ctx"):
        if getattr(config, key, None) is not None:
            return int(getattr(config, key))
    longest = getattr(tokenizer, "model_max_length", None)
    return DEFAULT_WINDOW if longest is None or longest >= UNSET else int(longest)


def prefix_token(tokenizer: Tokenizer) -> int:
    """What precedes a text that nothing precedes: BOS, else EOS."""
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise UserError("the tokenizer has neither a BOS nor an EOS token", "set one and save the tokenizer again")
    return int(token)


def with_specials(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids with the tokenizer's own special tokens, unless the text already begins with them (a chat template)."""
    started = text.startswith(str(tokenizer.decode([prefix_token(tokenizer)])))
    return encode(text, tokenizer) if started else list(tokenizer.encode(text))


def pair(prompt: str, continuation: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of a prompt and of what follows it.

    Spaces that end the prompt go to the continuation, and the continuation is what the whole text's ids have beyond
    the prompt's: word-boundary tokens then come out as they would in running text.
    """
    if prompt == "":
        prefix, ids = prefix_token(tokenizer), encode(continuation, tokenizer)
        return (ids[:1], ids[1:]) if ids[:1] == [prefix] else ([prefix], ids)
    given = _given(prompt.rstrip(), tokenizer)
    return list(given), with_specials(prompt + continuation, tokenizer)[len(given) :]


@lru_cache(maxsize=8)
def _given(prompt: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of a prompt, which is asked for once with each of its options."""
    return tuple(with_specials(prompt, tokenizer))


def chat_text(turns: Turns, tokenizer: Tokenizer, answer: str | None = None) -> str:
    """A conversation as the tokenizer's chat template writes it, up to the assistant's answer or with it.

    Raises UserError where there is no template, or where it refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise UserError("the tokenizer has no chat template", "leave out chat, or take a chat or instruct model")
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
    return encode(chat_text(turns, tokenizer), tokenizer)


def chat_pair(turns: Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of a conversation up to where the template puts an answer (past empty thoughts, channels), and of the answer.

    A space that the template writes before answers goes to the answer.
    """
    ids, space = _up_to_answer(turns, tokenizer)
    return list(ids), encode(space + answer, tokenizer)


@lru_cache(maxsize=8)
def _up_to_answer(turns: Turns, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str]:
    before, found, _ = chat_text(turns, tokenizer, ANSWER).rpartition(ANSWER)
    before = before if found else chat_text(turns, tokenizer)
    given = before.rstrip(" ")
    return tuple(encode(given, tokenizer)), before[len(given) :]


def asked_pair(asked: str | Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of what an item asks, a text or a conversation, and of an answer to it."""
    return pair(asked, answer, tokenizer) if isinstance(asked, str) else chat_pair(asked, answer, tokenizer)
