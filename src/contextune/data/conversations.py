"""Messages as ShareGPT, OpenAI and Anthropic write them, as chat templates take them: role, content, tool_calls.

{from: gpt, value}                  {role: assistant, content}
{type: tool_use, id, name, input}   tool_calls: [{id, type: function, function: {name, arguments}}]
{type: tool_result, …}              {role: tool, tool_call_id, content}, a message of its own
{type: thinking, thinking}          <think>…</think> before the content
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contextune.core.errors import UserError, nearest

ROLES = {
    "human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "model": "assistant", "bot": "assistant", "system": "system", "tool": "tool",
    "observation": "tool", "function_response": "tool", "ipython": "tool",
}  # fmt: skip
"""ShareGPT's roles and ours."""
THOUGHTS = "<think>\n{}\n</think>\n\n"


def normal(message: Any, where: str, speakers: bool = False) -> Iterator[Any]:
    """The messages that a message stands for, ShareGPT's where `speakers`; what is of no known form is handed on.
    Raises UserError.
    """
    if not isinstance(message, Mapping):
        yield message
        return
    message = {k: v for k, v in message.items() if v is not None or k == "content"}  # Parquet fills what is absent
    if speakers and "from" in message and "value" in message and "role" not in message:
        message = _sharegpt(message, where)
    if message.get("role") == "developer":
        message["role"] = "system"
    if message.get("role") == "function":
        message["role"] = "tool"
    if called := message.pop("function_call", None):
        message["tool_calls"] = [{"type": "function", "function": called}]
    if message.get("tool_calls"):
        message["tool_calls"] = [_call(c, where) for c in _a_list(message["tool_calls"], f"{where}: tool_calls")]
        message["content"] = message.get("content") or ""
    else:
        message.pop("tool_calls", None)
    content = message.get("content")
    if isinstance(content, list | tuple) and content and all(isinstance(b, Mapping) and "type" in b for b in content):
        yield from _blocks(message, content, where)
    else:
        yield message


def _sharegpt(message: dict[str, Any], where: str) -> dict[str, Any]:
    said, value = message.pop("from"), message.pop("value")
    if said == "function_call":
        calls = _json(value, f"{where}: function_call")
        return message | {
            "role": "assistant",
            "content": "",
            "tool_calls": calls if isinstance(calls, list) else [calls],
        }
    if said not in ROLES:
        raise UserError(f"{where}: unknown speaker {said!r} (from)", nearest(str(said), (*ROLES, "function_call")))
    return message | {"role": ROLES[said], "content": value}


def _call(call: Any, where: str) -> dict[str, Any]:
    """A call with its arguments as an object: templates write that as JSON."""
    call = _json(call, f"{where}: tool_calls")
    function = _function(call)
    if function is None:
        raise UserError(f"{where}: a tool call without a name", "{function: {name: …, arguments: {…}}}")
    arguments = _json(function.get("arguments") or {}, f"{where}: the arguments of {function['name']}")
    id = {"id": call["id"]} if call.get("id") is not None and function is not call else {}
    return {**id, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _function(value: Any) -> Mapping[str, Any] | None:
    """The function of a call or a tool, which may be wrapped; None where it has no name."""
    function = value.get("function", value) if isinstance(value, Mapping) else None
    return function if isinstance(function, Mapping) and isinstance(function.get("name"), str) else None


def _blocks(message: dict[str, Any], blocks: Any, where: str) -> Iterator[dict[str, Any]]:
    texts, thoughts, calls = list[str](), list[str](), list(message.get("tool_calls", []))
    for block in blocks:
        match block:
            case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
                texts.append(text)
            case {"type": "thinking", "thinking": str(text)}:
                thoughts.append(text)
            case {"type": "tool_use", "name": name, **rest}:
                calls.append(
                    _call({"id": rest.get("id"), "function": {"name": name, "arguments": rest.get("input")}}, where)
                )
            case {"type": "tool_result", **rest}:
                yield {"role": "tool", "content": _result(rest.get("content"), where)} | (
                    {"tool_call_id": rest["tool_use_id"]} if rest.get("tool_use_id") else {}
                )
            case _:
                raise UserError(
                    f"{where}: a content block of type {block['type']!r} that cannot be read",
                    "text, thinking, tool_use and tool_result are; remove the others (images, documents)",
                )
    if texts or thoughts or calls:
        content = "".join(THOUGHTS.format(t) for t in thoughts) + "\n".join(texts)
        yield message | {"content": content} | ({"tool_calls": calls} if calls else {})


def _result(content: Any, where: str) -> str:
    if isinstance(content, list | tuple):
        return "\n".join(m["content"] for m in _blocks({"role": "tool"}, content, f"{where}: tool_result"))
    return content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)


def tools_of(value: Any, where: str) -> list[Any]:
    """Functions that a conversation may call, each {type: function, function: {name, …}}; [] where there are none."""
    found = _json(value, f"{where}: column 'tools'") if value else []
    tools = []
    for tool in _a_list(found, f"{where}: column 'tools'"):
        function = _function(tool)
        if function is None:
            raise UserError(
                f"{where}: column 'tools': a tool without a name", "[{type: function, function: {name: …}}]"
            )
        function = {k: v for k, v in function.items() if k not in ("type", "input_schema")} | (
            {"parameters": function["input_schema"]} if "input_schema" in function else {}
        )
        tools.append({"type": "function", "function": function})
    return tools


def _a_list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{where}: expected a list, found {type(value).__name__}", "write it as a JSON list")
    return list(value)


def _json(value: Any, where: str) -> Any:
    """A value that may be written as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as e:
        raise UserError(f"{where}: not valid JSON ({e})", "write it as an object, or as the JSON text of one") from None
