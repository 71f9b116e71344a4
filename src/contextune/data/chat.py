"""A conversation through the tokenizer's own chat template, cut where the assistant speaks.

    <|im_start|>user⏎Hi<|im_end|>⏎<|im_start|>assistant⏎   Hello.<|im_end|>   ⏎<|im_start|>user⏎…
    context (up to the generation prompt)                  target             context

The template is rendered for each beginning of the conversation; what the next beginning adds is the next segment. No
token is searched for, so any template will do. Where it writes an earlier turn differently once a later one is there
(templates of reasoning models drop earlier thoughts), each turn is a row of its own behind the prompt that inference
would give it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from contextune.core.encoding import encode_markup
from contextune.core.errors import UserError
from contextune.core.sequence import Segment
from contextune.core.special_tokens import MARK, end_behind, end_mark, spelled, turn_end, write_chat

if TYPE_CHECKING:
    from contextune.core.special_tokens import Tokenizer

OPENED = re.compile(r"<(\w+)>\s*$")
"""A generation prompt that has opened the thoughts already."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An assistant's message: the prompt that inference would see, what is to be written, and whether it is learned."""

    prompt: str
    answer: str
    learned: bool
    end: str = ""
    """An end of text, where the template ends no turn."""


def rows(
    messages: Seq[Mapping[str, Any]],
    tokenizer: Tokenizer,
    origin: str,
    keep: bool = False,
    tools: Seq[Mapping[str, Any]] = (),
) -> list[tuple[Segment, ...]]:
    """Context and target segments by turns; each target is one assistant message with its end marker.

    One row, where the template only appends to what it wrote; else a row for each turn that is learned. White space
    that a template puts behind the end marker belongs to the next context. What follows the last assistant message
    has nothing to condition and is left out, as are turns of `weight: 0` behind which nothing is learned. Control
    tokens that a message spells out are its characters, or control tokens where `keep` says so. Calls of `tools` are
    trained on as the template writes them.

    Raises UserError where there is no template, where it refuses the conversation or leaves out an answer, a tool or a
    call, or where no turn is learned.
    """
    _require(messages, tokenizer, origin)
    turns = list(_turns(messages, tokenizer, origin, tools))
    _require_tools(messages, turns, tools, origin)
    while turns and not turns[-1].learned:
        turns.pop()
    if not turns:
        raise UserError(f"{origin}: no assistant message is learned: each has weight 0", "remove the row")
    texts = () if keep else tuple(text for m in messages for text in (str(m["content"]), *_leaves(m.get("tool_calls"))))
    if _appends(turns):
        return [_markup(_one_row(turns), texts, tokenizer)]
    return [
        _markup([Segment(t.prompt, "context"), Segment(t.answer + t.end, "target")], texts, tokenizer)
        for t in turns
        if t.learned
    ]


def _turns(
    messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, origin: str, tools: Seq[Mapping[str, Any]]
) -> Iterator[Turn]:
    end = "" if turn_end(tokenizer) is not None else str(tokenizer.eos_token or "")
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt = _render(messages[:i], tokenizer, origin, True, tools)
            answer = _answer(prompt, messages[: i + 1], tokenizer, origin, tools)
            yield Turn(prompt, answer, message.get("weight", 1) != 0, end)


def _answer(
    prompt: str, messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, origin: str, tools: Seq[Mapping[str, Any]]
) -> str:
    """What the model has to write behind `prompt` so that the turn is the last message."""
    content = str(messages[-1]["content"])
    whole = _render(messages, tokenizer, origin, False, tools)
    if not content.strip() and whole.startswith(prompt):  # a call alone
        return _to_end(whole[len(prompt) :], messages[-1], tokenizer)
    marked = _render([*messages[:-1], {**messages[-1], "content": MARK}], tokenizer, origin, False, tools)
    head, found, tail = marked.rpartition(MARK)
    if not found or not whole.endswith(tail):
        raise UserError(
            f"{origin}: message {len(messages)}: the chat template does not write the answer {content[:30]!r}",
            "set a chat_template that writes the assistant's messages as they are",
        )
    end = _to_end(tail, messages[-1], tokenizer)
    if whole.startswith(prompt):
        return whole[len(prompt) : len(whole) - len(tail)] + end
    opened = OPENED.search(prompt)
    if opened is None:
        return (whole[len(head) : len(whole) - len(tail)] if whole.startswith(head) else content) + end
    begun, closed = f"<{opened[1]}>", f"</{opened[1]}>"
    if content.lstrip().startswith(begun):
        return content.lstrip().removeprefix(begun).lstrip("\n") + end
    return (content if closed in content else f"\n{closed}\n\n{content}") + end


def _to_end(text: str, message: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """What a template writes up to the mark that ends the turn; all of it where there is none."""
    rest = _behind_calls(text, message)
    mark = end_mark(rest, tokenizer)
    if mark is None:
        return text
    behind = end_behind(mark[0], tokenizer)
    end = mark.end() + (len(behind) if rest.startswith(behind, mark.end()) else 0)
    return text[: len(text) - len(rest) + end]


def _behind_calls(text: str, message: Mapping[str, Any]) -> str:
    """What a template writes behind the last call's arguments, whose own control tokens end no turn."""
    for call in message.get("tool_calls", ()):
        function = call["function"]
        for part in (function["name"], *_leaves(function["arguments"])):
            text = text.partition(part)[2] if part in text else text
    return text


def _leaves(value: Any) -> Iterator[str]:
    """The texts in a value, as JSON spells them."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str) and value:
        yield json.dumps(value, ensure_ascii=False)[1:-1]


def _require_tools(
    messages: Seq[Mapping[str, Any]], turns: Seq[Turn], tools: Seq[Mapping[str, Any]], origin: str
) -> None:
    answers = [m for m in messages if m["role"] == "assistant"]
    names = [
        (c["function"]["name"], t.answer) for m, t in zip(answers, turns, strict=True) for c in m.get("tool_calls", ())
    ]
    names += [(tool["function"]["name"], turns[0].prompt) for tool in tools[:1] if turns]
    for name, written in names:
        if name not in written:
            raise UserError(
                f"{origin}: the chat template does not write the tool {name!r}",
                "take a model whose chat template knows tools, or data without them",
            )


def _appends(turns: list[Turn]) -> bool:
    """Whether one row holds all turns as inference would see them."""
    wholes = [t.prompt + t.answer for t in turns]
    return len(turns) == 1 or (
        not any(t.end for t in turns)
        and all(later.prompt.startswith(whole) for whole, later in zip(wholes, turns[1:], strict=False))
    )


def _one_row(turns: list[Turn]) -> list[Segment]:
    row: list[Segment] = []
    done = 0
    for turn in turns:
        if not turn.learned:
            continue  # it stands in the next prompt
        row += [Segment(turn.prompt[done:], "context"), Segment(turn.answer + turn.end, "target")]
        done = len(turn.prompt) + len(turn.answer)
    return row


def _markup(row: list[Segment], texts: tuple[str, ...], tokenizer: Tokenizer) -> tuple[Segment, ...]:
    """As a chat template wrote it, but control tokens that a message spells out are its characters."""
    spelling = tuple(t for t in texts if spelled(t, tokenizer))
    row = [replace(s, markup=True) for s in row]
    if not spelling:
        return tuple(row)
    return tuple(replace(s, ids=tuple(encode_markup(s.text, spelling, tokenizer))) for s in row)


def _require(messages: Seq[Mapping[str, Any]], tokenizer: Tokenizer, origin: str) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"{origin}: messages need a chat template and the model's tokenizer has none",
            "take a chat or instruct model, set its chat_template, or write the rows as pairs",
        )
    if messages[0]["role"] == "assistant":
        raise UserError(f"{origin}: the conversation begins with the assistant", "put a system or user message first")


def _render(
    messages: Seq[Mapping[str, Any]],
    tokenizer: Tokenizer,
    origin: str,
    prompt: bool,
    tools: Seq[Mapping[str, Any]] = (),
) -> str:
    given: dict[str, Any] = {"tools": list(tools)} if tools else {}
    plain = [{k: v for k, v in m.items() if k != "weight"} for m in messages]
    try:
        return write_chat(
            plain, tokenizer, "change the roles or take another model", add_generation_prompt=prompt, **given
        )
    except UserError as e:
        raise UserError(f"{origin}: {e.message}", e.hint) from None
