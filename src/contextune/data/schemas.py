"""Rows as other tools and much-used data sets have them, recognised by their columns.

A schema says which columns stand for ours. It is looked for in the first row of a source that names no `columns`; rows
that have our own columns are never read otherwise. `read_as` names a schema where the guess is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contextune.core.errors import UserError

Values = Mapping[str, Any]

LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns")
"""What columns of conversations are called, the most usual first."""
PAIRS = (
    ("prompt", "response"), ("question", "answer"), ("question", "response"), ("query", "response"),
    ("problem", "solution"), ("problem", "generated_solution"), ("query", "answers"), ("input", "output"),
    ("question", "solution"), ("instruction", "answer"),
)  # fmt: skip
"""Columns of prompts and answers."""
SYSTEMS = ("system", "system_prompt")
PROMPTS = ("prompt", "question", "instruction", "query", "input")
ANSWERED = ("gpt", "assistant", "chatgpt", "model", "bot", "function_call")
"""ShareGPT's names of who answers."""
TRANSCRIPT = re.compile(r"\n\n(Human|Assistant): ?")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a row is read: `columns` (our name: its column), and the columns that its prompt is put together from."""

    schema: str
    columns: Mapping[str, str]
    prompt: tuple[str, ...] = ()
    """In order; the empty ones are left out, the others joined by a blank line."""
    conversation: bool = False
    """Whether messages are made of a prompt, or of transcripts."""

    @property
    def said(self) -> str:
        return f"{TITLES[self.schema]} ({', '.join([*self.prompt, *self.columns.values()])})"


def recognise(values: Values, kind: str, wanted: str = "auto") -> Reading | None:
    """How a row is read by its columns; None where they are ours, or of no schema. `wanted`: the source's `read_as`."""
    found = (SCHEMAS[wanted],) if wanted in SCHEMAS else SCHEMAS.values() if wanted == "auto" else ()
    return next(filter(None, (schema(values, kind, wanted != "auto") for schema in found)), None)


def require(values: Values, kind: str, wanted: str, where: str) -> Reading | None:
    """As `recognise`. Raises UserError where the row is not of the schema that the source names."""
    reading = recognise(values, kind, wanted)
    if reading is None and wanted in SCHEMAS:
        there = ", ".join(map(str, values)) or "(none)"
        raise UserError(
            f"{where}: not {TITLES[wanted]} of kind {kind}, as read_as says; found the columns {there}",
            f"{WANTED[wanted]}; or leave read_as out, or name the columns",
        )
    return reading


def _alpaca(values: Values, kind: str, named: bool) -> Reading | None:
    own = not named and (kind != "pairs" or "prompt" in values or "completion" in values)
    answer = next((name for name in ("output", "response") if name in values), "")
    if kind == "text" or own or not answer or not isinstance(values.get("instruction"), str):
        return None
    parts = _texts(values, (*SYSTEMS, "instruction", "input", "context"))
    return Reading("alpaca", {"completion": answer}, tuple(parts), kind == "messages")


def _preference(values: Values, kind: str, named: bool) -> Reading | None:
    if "chosen" not in values or "rejected" not in values or (not named and {"messages", "completion"} & values.keys()):
        return None
    chosen, lists = values["chosen"], _is_list(values["chosen"])
    prompt = next((n for n in PROMPTS if isinstance(values.get(n), str) or _is_list(values.get(n))), "")
    if kind == "messages" and (lists or (isinstance(chosen, str) and (prompt or TRANSCRIPT.match(chosen)))):
        systems = [] if lists else _texts(values, SYSTEMS)
        before = () if not prompt or (lists and "role" in _first(chosen) and len(chosen) > 1) else (prompt,)
        made = not lists or bool(before)
        return Reading("preference", {"messages": "chosen", "rejected": "rejected"}, (*systems, *before), made)
    if kind == "pairs" and isinstance(chosen, str) and isinstance(values.get(prompt), str):
        return Reading(
            "preference", {"completion": "chosen", "rejected": "rejected"}, (*_texts(values, SYSTEMS), prompt)
        )
    return None


def _conversation(schema: str, fits: Callable[[list[Any], Values], bool]) -> Callable[..., Reading | None]:
    def found(values: Values, kind: str, named: bool) -> Reading | None:
        if kind != "messages":
            return None
        column = next((n for n in LISTS if n in values and _is_list(values[n]) and fits(values[n], values)), "")
        return Reading(schema, {"messages": column}) if column else None

    return found


def _is_sharegpt(messages: list[Any], values: Values) -> bool:
    return {"from", "value"} <= _first(messages).keys() and any(
        isinstance(m, Mapping) and m.get("from") in ANSWERED for m in messages
    )


def _is_anthropic(messages: list[Any], values: Values) -> bool:
    blocks = (b for m in messages if isinstance(m, Mapping) and _is_list(m.get("content")) for b in m["content"])
    kinds = {b.get("type") for b in blocks if isinstance(b, Mapping)}
    return _is_openai(messages, values) and bool(
        kinds & {"tool_use", "tool_result", "thinking"} or ("text" in kinds and isinstance(values.get("system"), str))
    )


def _is_openai(messages: list[Any], values: Values) -> bool:
    return {"role", "content"} <= _first(messages).keys()


def _question(values: Values, kind: str, named: bool) -> Reading | None:
    for prompt, answer in PAIRS if kind == "pairs" or (named and kind == "messages") else ():
        ours = {"prompt", "completion"} & values.keys() - {prompt}
        if isinstance(values.get(prompt), str) and isinstance(values.get(answer), str | int) and (named or not ours):
            return Reading("question", {"completion": answer}, (*_texts(values, SYSTEMS), prompt), kind == "messages")
    return None


SCHEMAS: Mapping[str, Callable[[Values, str, bool], Reading | None]] = {
    "sharegpt": _conversation("sharegpt", _is_sharegpt),
    "anthropic": _conversation("anthropic", _is_anthropic),
    "preference": _preference,
    "openai": _conversation("openai", _is_openai),
    "alpaca": _alpaca,
    "question": _question,
}
TITLES = {
    "sharegpt": "ShareGPT",
    "anthropic": "Anthropic content blocks",
    "preference": "preference pairs",
    "openai": "OpenAI messages",
    "alpaca": "Alpaca",
    "question": "questions and answers",
}
WANTED = {
    "sharegpt": "conversations: [{from: human, value: …}, {from: gpt, value: …}], kind: messages",
    "anthropic": "messages: [{role: user, content: [{type: text, text: …}]}, …], kind: messages",
    "preference": "chosen and rejected: texts with a prompt, transcripts (Human:, Assistant:) or lists of messages",
    "openai": "messages: [{role: user, content: …}, …], kind: messages",
    "alpaca": "instruction and output (input, system), kind: pairs or messages",
    "question": "two columns such as " + ", ".join(f"{a}/{b}" for a, b in PAIRS[:4]) + ", kind: pairs or messages",
}


def prompt_of(values: Values, parts: tuple[str, ...]) -> str:
    return "\n\n".join(values[p] for p in _texts(values, parts) if values[p].strip())


def as_messages(values: Values, reading: Reading, answer: str) -> Any:
    """A conversation made of a prompt and the answer in a column; of a transcript, its turns."""
    said = values[answer]
    if isinstance(said, str) and TRANSCRIPT.match(said) and not reading.prompt:
        return list(_transcript(said))
    systems = [n for n in reading.prompt if n in SYSTEMS and values[n].strip()]
    asked = [n for n in reading.prompt if n not in SYSTEMS]
    made = [{"role": "system", "content": values[n]} for n in systems]
    if asked and _is_list(values[asked[-1]]):
        made += values[asked[-1]]
    else:
        made += [*_history(values), {"role": "user", "content": prompt_of(values, tuple(asked))}]
    return made + (list(said) if _is_list(said) else [{"role": "assistant", "content": said}])


def _history(values: Values) -> list[dict[str, Any]]:
    """LLaMA-Factory's earlier turns: [[prompt, answer], …]."""
    pairs = values.get("history")
    turns = [pair for pair in pairs if _is_list(pair) and len(pair) == 2] if _is_list(pairs) and pairs else []
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in turns for role, text in zip(roles, pair, strict=True)]


def _transcript(text: str) -> Iterator[dict[str, str]]:
    """Anthropic's HH-RLHF: "\\n\\nHuman: …\\n\\nAssistant: …"."""
    _, *parts = TRANSCRIPT.split(text)
    for who, said in zip(parts[::2], parts[1::2], strict=True):
        yield {"role": "user" if who == "Human" else "assistant", "content": said}


def _texts(values: Values, names: Iterable[str]) -> list[str]:
    """Those of the columns that hold text."""
    return [n for n in names if isinstance(values.get(n), str)]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _first(messages: Any) -> Mapping[str, Any]:
    return messages[0] if messages and isinstance(messages[0], Mapping) else {}
