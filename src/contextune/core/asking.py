"""The ids of what a model is asked: a prompt and an option, or a conversation through the chat template."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .encoding import Markup, encode, encode_markup, joins, restarts
from .errors import UserError
from .items import Prompt, Turns
from .sequence import Segment, encode_segments
from .special_tokens import MARK, Tokenizer, begins, opens, spelled, write_chat

DEFAULT_WINDOW = 2048
"""Where neither model nor tokenizer says how long a text may be (lm-evaluation-harness's default)."""
UNSET = int(1e30)
"""What transformers writes as a tokenizer's `model_max_length` when nobody has set it."""


def window(model: Any, tokenizer: Tokenizer) -> int:
    """Tokens the model reads at once at most; `model` may be a skeleton."""
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
    return _opened(encode(text, tokenizer, markup=markup), tokenizer, markup)


def _opened(ids: list[int], tokenizer: Tokenizer, markup: Markup) -> list[int]:
    bos = list(begins(tokenizer))
    return ids if markup is True or (markup and bos and ids[: len(bos)] == bos) else [*bos, *ids]


def pair(prompt: str, continuation: str, tokenizer: Tokenizer, markup: Markup = False) -> tuple[list[int], list[int]]:
    """Ids of a prompt and of what follows it, as lm-evaluation-harness takes them where no token straddles the two.

    Spaces that end the prompt go to the continuation, and the continuation is what the whole text's ids have beyond
    the prompt's: word-boundary tokens then come out as they would in running text. Unlike the harness, an end of
    text that the tokenizer appends is left out: options would be scored from their second token otherwise. Where a
    token would straddle the two (":M"), the ids are those of training, which encodes them apart.
    """
    if prompt == "":
        return list(opens(tokenizer)) or [prefix_token(tokenizer)], encode(continuation, tokenizer)
    given, whole = _given(prompt.rstrip(), tokenizer, markup), with_specials(prompt + continuation, tokenizer, markup)
    if tuple(whole[: len(given)]) == given:
        return list(given), whole[len(given) :]
    segments = Segment(prompt, "context", markup=markup), Segment(continuation, "target")
    (_, before), (_, follows) = encode_segments(segments, tokenizer)
    return _opened(before, tokenizer, markup), follows


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
    said = turns if answer is None else (*turns, ("assistant", answer))
    messages = [{"role": role, "content": text} for role, text in said]
    hint = "leave out what it refuses, e.g. chat.system"
    # reasoning models would spend a short answer on thinking; other templates ignore the variable
    return write_chat(messages, tokenizer, hint, add_generation_prompt=answer is None, enable_thinking=False)


def chat_ids(turns: Turns, tokenizer: Tokenizer) -> list[int]:
    """Ids of a conversation that the assistant is to continue; no special token is added to the template's."""
    return encode_markup(chat_text(turns, tokenizer), [text for _, text in turns], tokenizer)


def chat_pair(turns: Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of a conversation up to where the template puts an answer (past empty thoughts, channels), and of the answer.

    A space that the template writes before answers goes to the answer.
    """
    ids, space, amid = _up_to_answer(turns, tokenizer)
    return list(ids), encode(space + answer, tokenizer, amid)


@lru_cache(maxsize=8)
def _up_to_answer(turns: Turns, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str, bool]:
    before, found, _ = chat_text(turns, tokenizer, MARK).rpartition(MARK)
    before = before if found else chat_text(turns, tokenizer)
    given = before.rstrip(" ")
    ids = encode_markup(given, [text for _, text in turns], tokenizer)
    return tuple(ids), before[len(given) :], not restarts(given, tokenizer)


def asked_pair(asked: str | Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of what an item asks, a text or a conversation, and of an answer to it."""
    if not isinstance(asked, str):
        return chat_pair(asked, answer, tokenizer)
    return pair(asked, answer, tokenizer, _of_template(asked, tokenizer))


def asked_ids(asked: str | Turns, tokenizer: Tokenizer) -> list[int]:
    """Ids of what an item asks, behind which the model is to write.

    Where a tokenizer writes a word and the space before it as one token, a space that ends a prompt is left to be
    written, as it was in training.
    """
    if not isinstance(asked, str):
        return chat_ids(asked, tokenizer)
    text = asked[:-1] if asked.endswith(" ") and asked.strip() and joins(tokenizer) else asked
    return with_specials(text, tokenizer, _of_template(asked, tokenizer))


def _of_template(asked: str, tokenizer: Tokenizer) -> Markup:
    """The control tokens that the recipe's template spells in a prompt."""
    return isinstance(asked, Prompt) and (spelled(asked.template, tokenizer) or False)
