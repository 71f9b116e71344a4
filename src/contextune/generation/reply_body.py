"""What an OpenAI-compatible server's reply says, whatever its form; where that is nothing, in the server's words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
_THINKING = ("thinking", "reasoning", "redacted_thinking")
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_DEPTH, _PARTS = 8, 20
"""How deep, and in how many parts of a list, the server's own words are looked for."""
_MOST = 2**53
"""Larger counts of tokens are no counts."""


@dataclass(frozen=True, slots=True)
class Said:
    """`text` is empty where `trouble` says why there is none; `read` and `wrote` are tokens."""

    text: str = ""
    cut: bool = False
    read: int | None = None
    wrote: int | None = None
    trouble: str = ""
    passing: bool = False
    """Whether another request may well fare better."""


def reply_of(raw: str) -> Said:
    """From the body of a reply with status 200."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return Said(trouble=f"the reply cannot be read (no JSON): {words(raw)[:4000] or 'nothing'}", passing=True)
    choice = _choice(body)
    usage = body.get("usage") if isinstance(body, dict) else None
    read, wrote = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    if choice is None or choice.get("error") or choice.get("finish_reason") == "error":
        said = words(choice or body)
        code = _code(choice or body)
        shown = (
            f"an error with status 200{code}: {said}"
            if said
            else f"the reply cannot be read (no choice): {_shown(body)}"
        )
        return Said(read=read, wrote=wrote, trouble=shown, passing=True)
    message = choice.get("message", choice)
    if not isinstance(message, dict):
        odd = f"its message is of type {type(message).__name__}"
        return Said(read=read, wrote=wrote, trouble=f"the reply cannot be read ({odd}): {_shown(choice)}", passing=True)
    text, odd = _text(message.get("content", message.get("text")))
    trouble = odd and f"the reply cannot be read ({odd}): {_shown(message)}"
    if not text.strip() and not trouble:
        trouble = _nothing(choice, message)
    return Said(text if not trouble else "", _cut(choice), read, wrote, trouble, bool(odd))


def words(body: Any, depth: int = _DEPTH) -> str:
    """The server's own words in the body of an error, "" where there are none."""
    if isinstance(body, str):
        return _MARKUP.sub(" ", body).strip() if body.lstrip().startswith("<") else body.strip()
    if isinstance(body, list) and depth:
        return "; ".join(filter(None, (words(part, depth - 1) for part in body[:_PARTS])))
    if not isinstance(body, dict) or not depth:
        return ""
    names = ("message", "error", "detail", "errors", "error_message", "msg", "reason", "title", "description")
    said = next((w for name in names if (w := words(body.get(name), depth - 1))), "")
    where = body.get("loc")  # pydantic's errors: which key
    return f"{where[-1]}: {said}" if said and isinstance(where, list) and where else said


def _choice(body: Any) -> dict[str, Any] | None:
    """The choice of index 0, else the first."""
    choices = body.get("choices") if isinstance(body, dict) and not body.get("error") else None
    found = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
    return next((c for c in found if c.get("index") == 0), found[0] if found else None)


def _text(content: Any) -> tuple[str, str]:
    """(the text of a message's content, what is wrong with it). Of a list of parts, thoughts are no part of it."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        return "", f"its content is of type {type(content).__name__}"
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        if kind in (*_THINKING, "refusal"):
            continue
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str) or kind not in ("text", "output_text"):
            return "", f"its content has a part of type {kind if isinstance(part, dict) else type(part).__name__}"
        texts.append(text)
    return "".join(texts), ""


def _nothing(choice: dict[str, Any], message: dict[str, Any]) -> str:
    """Why a message without text has none; "" for no reason that it gives."""
    content = message.get("content")
    parts = [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
    if refusal := words(message.get("refusal")) or words([p.get("refusal") for p in parts]):
        return f"refused: {refusal}"
    if choice.get("finish_reason") == "content_filter":
        return "refused: content filter"
    if message.get("tool_calls") or message.get("function_call"):
        return "empty: the model called a tool"
    if any(message.get(name) for name in _THOUGHTS) or any(p.get("type") in _THINKING for p in parts):
        return "over-long: max_tokens went to thoughts" if _cut(choice) else "empty: only thoughts"
    return ""


def _cut(choice: dict[str, Any]) -> bool:
    return choice.get("finish_reason") in ("length", "max_tokens", "MAX_TOKENS")


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def _code(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return f" (code {code})" if isinstance(code, int | str) and code else ""


def _shown(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, default=str)[:4000]
