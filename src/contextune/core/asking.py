"""The ids of what a model is asked: a prompt and an option, or a conversation through the chat template."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .encoding import Markup, encode, encode_markup, restarts
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
    """Ids of a prompt and of what follows it: together those that training has, cut where lm-evaluation-harness cuts.

    White space that ends the prompt is scored with the continuation (`_encode_pair` of the harness), unless a token
    straddles that cut. Unlike the harness, an end of text that the tokenizer appends is left out: options would be
    scored from their second token otherwise; and where a token would straddle prompt and continuation (":M"), the two
    are encoded apart, as in training.
    """
    if prompt == "":
        return list(opens(tokenizer)) or [prefix_token(tokenizer)], encode(continuation, tokenizer)
    segments = Segment(prompt, "context", markup=markup), Segment(continuation, "target")
    (_, before), (_, follows) = encode_segments(segments, tokenizer)
    before = _opened(before, tokenizer, markup)
    given, row = _given(prompt.rstrip(), tokenizer, markup), (*before, *follows)
    return _cut(row, given) if given and row[: len(given)] == given else (before, follows)


def _cut(row: tuple[int, ...], given: tuple[int, ...]) -> tuple[list[int], list[int]]:
    return list(given), list(row[len(given) :])


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

    White space that the template writes before answers goes to the answer, as in `pair`.
    """
    ids, space, amid, given = _up_to_answer(turns, tokenizer)
    row = (*ids, *encode(space + answer, tokenizer, amid))
    return _cut(row, given if given and row[: len(given)] == given else ids)


@lru_cache(maxsize=8)
def _up_to_answer(turns: Turns, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str, bool, tuple[int, ...]]:
    """Ids up to the answer, the spaces before it, whether it is encoded amid a text; ids up to all white space."""
    before, found, _ = chat_text(turns, tokenizer, MARK).rpartition(MARK)
    before = before if found else chat_text(turns, tokenizer)
    given, said = before.rstrip(" "), [text for _, text in turns]
    ids, bare = (tuple(encode_markup(text, said, tokenizer)) for text in (given, before.rstrip()))
    return ids, before[len(given) :], not restarts(given, tokenizer), bare


def asked_pair(asked: str | Turns, answer: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of what an item asks, a text or a conversation, and of an answer to it."""
    if not isinstance(asked, str):
        return chat_pair(asked, answer, tokenizer)
    return pair(asked, answer, tokenizer, _of_template(asked, tokenizer))


def asked_ids(asked: str | Turns, tokenizer: Tokenizer) -> list[int]:
    """Ids of what an item asks, behind which the model is to write.

    A space that ends a prompt is left to be written with the word after it, as it was in training (`at_seams`).
    """
    if not isinstance(asked, str):
        return chat_ids(asked, tokenizer)
    text = asked[:-1] if asked.endswith(" ") and asked.strip() else asked
    return with_specials(text, tokenizer, _of_template(asked, tokenizer))


def _of_template(asked: str, tokenizer: Tokenizer) -> Markup:
    """The control tokens that the recipe's template spells in a prompt."""
    return isinstance(asked, Prompt) and (spelled(asked.template, tokenizer) or False)
