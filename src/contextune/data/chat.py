"""A conversation through the tokenizer's own chat template, cut where the assistant speaks.

    <|im_start|>user⏎Hi<|im_end|>⏎<|im_start|>assistant⏎   Hello.<|im_end|>   ⏎<|im_start|>user⏎…
    context (up to the generation prompt)                  target             context

The template is rendered for each beginning of the conversation; what the next beginning adds is the
next segment. No token is searched for, so any template will do that does not rewrite what it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from contextune.core.errors import UserError
from contextune.core.sequence import Segment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


def segments(messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, origin: str) -> tuple[Segment, ...]:
    """Context and target segments by turns; each target is one assistant message with its end marker.

    White space that a template puts behind the end marker belongs to the next context. What follows the
    last assistant message has nothing to condition and is left out.
    Raises UserError where there is no template, where it refuses the conversation, or where it writes an
    earlier turn differently once a later one is there.
    """
    _require(messages, tokenizer, origin)
    found: list[Segment] = []
    done = ""
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render(messages[:i], tokenizer, origin, prompt=True)
        after = _render(messages[: i + 1], tokenizer, origin, prompt=False)
        _nests(done, before, origin, i)
        _nests(before, after, origin, i)
        target = _without_tail(after[len(before) :], tokenizer)
        found += [Segment(before[len(done) :], "context"), Segment(target, "target")]
        done = before + target
    return tuple(found)


def _require(messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, origin: str) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"{origin}: messages need a chat template and the model's tokenizer has none",
            "take a chat or instruct model, set its chat_template, or write the rows as pairs",
        )
    if messages[0]["role"] == "assistant":
        raise UserError(f"{origin}: the conversation begins with the assistant", "put a system or user message first")


def _render(messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, origin: str, prompt: bool) -> str:
    try:
        text = tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=prompt)
    except (TemplateError, TypeError, ValueError, LookupError) as e:
        roles = ", ".join(m["role"] for m in messages)
        hint = "change the roles or take another model"
        raise UserError(f"{origin}: the chat template refuses {roles}: {e}", hint) from None
    return str(text)


def _nests(beginning: str, whole: str, origin: str, turn: int) -> None:
    if not whole.startswith(beginning):
        same = next((i for i, (a, b) in enumerate(zip(beginning, whole, strict=False)) if a != b), len(whole))
        raise UserError(
            f"{origin}: message {turn + 1}: the chat template rewrites what precedes it, "
            f"{beginning[same : same + 30]!r} becomes {whole[same : same + 30]!r}",
            "set a chat_template that only appends (templates of reasoning models drop earlier thoughts), "
            "or cut the conversation into pairs",
        )


def _without_tail(target: str, tokenizer: Tokenizer) -> str:
    """Without the white space behind an end marker; the model is never asked to go on there."""
    bare = target.rstrip()
    markers = tuple(str(token) for token in tokenizer.added_tokens_decoder.values())
    return bare if bare.endswith(markers) else target
