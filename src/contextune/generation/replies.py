"""From what a model said to the answer: thoughts removed (thoughts.py), ended at the first stop, held against a schema.

<think>The river is older.</think>
```json
{"inferences": ["The bridge is younger than the river."]}
```
-> {"inferences": ["The bridge is younger than the river."]}
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from contextune.core.errors import UserError

from .protocol import Answer, Cost, Failure, Request
from .thoughts import without_thoughts

OVER_LONG = "over-long"
_ODD = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""No part of any text: control characters but white space, and halves of a pair of UTF-16."""


def answer(said: str, request: Request, cut: bool, cost: Cost, empty: bool = False) -> Answer | Failure:
    """The answer in what a model said; `cut` says that max_tokens ended it, `empty` that no text is a text too."""
    spoken, opened = without_thoughts(said)
    text = ended(spoken, request.stop)
    stopped = len(text) < len(spoken)
    if cut and not stopped and not request.cut:
        return Failure(f"{OVER_LONG}: cut at {request.max_tokens} tokens", cost=cost)
    if opened:
        return Failure(f"empty: only thoughts, {opened} is never closed", cost=cost)
    if not text.strip() and not empty:
        return Failure("empty: only thoughts" if said.strip() else "empty", cost=cost)
    if request.schema:
        fitted = fit(text, request.schema)
        if isinstance(fitted, Failure):
            return Failure(fitted.reason, cost=cost)
        text = fitted
    if odd := _ODD.search(text):
        return Failure(f"the answer holds the control character U+{ord(odd[0]):04X}", cost=cost)
    return Answer(text, cost)


def blames_answer(reason: str) -> bool:
    """Whether a failure's reason is what the model said: sampled anew, it may say better."""
    return reason.startswith((OVER_LONG, "empty", "the answer", "does not fit the schema", "no JSON", "broken JSON"))


def lasting(reason: str) -> bool:
    """Whether the same request would fail again, whoever asks it: by what the model says, or by the prompt's size."""
    return blames_answer(reason) or reason.startswith("the prompt ")


def printable(text: str) -> str:
    """In one line, without what a terminal or a file would take for more than text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def ended(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first of `stop`."""
    ends = [at for at in map(text.find, stop) if at >= 0]
    return text[: min(ends)] if ends else text


def fit(text: str, schema: str) -> str | Failure:
    """The JSON value in a text, written in one line, if it fits the schema; else what is wrong with it."""
    value, judge = _value(text), validator(schema)
    if isinstance(value, Failure):
        return value
    error = next(iter(judge.iter_errors(value)), None)
    if error is None:
        return json.dumps(value, ensure_ascii=False)
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    return Failure(
        f"does not fit the schema: {('at ' + where.lstrip('.') + ': ') if where else ''}{error.message}"[:300]
    )


def _value(text: str) -> Any | Failure:
    """What stands between the fences where there are some, else from the first bracket on."""
    fenced = re.search(r"```(?:json)?[^\S\n]*\n(.*?)```", text, flags=re.DOTALL)
    body = (fenced[1] if fenced else text).strip()
    start = re.search(r"[{\[]", body)
    for at in dict.fromkeys([0, start.start() if start else 0]):
        try:
            value, end = _JSON.raw_decode(body, at)
            if at or not body[end:].strip():
                return value
        except (ValueError, RecursionError) as e:
            trouble = f"broken JSON: {e}"
    return Failure(trouble if start else "no JSON in the answer")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice")
        found[key] = value
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
"""Of one meaning: neither a key twice nor NaN."""


@lru_cache(maxsize=64)
def validator(schema: str) -> Any:
    """Judges values by a schema; UserError where that is none."""
    try:
        from jsonschema import exceptions, validators
        from referencing import Registry
    except ImportError:
        raise UserError(
            "structured answers need the package 'jsonschema'", "pip install 'contextune[openai]' brings it"
        ) from None
    try:
        parsed = json.loads(schema)
        kind = validators.validator_for(parsed)
        kind.check_schema(parsed)
    except (ValueError, exceptions.SchemaError) as e:
        raise UserError(f"not a JSON Schema: {str(e).splitlines()[0]}", "give the schema as JSON text") from None
    return kind(parsed, registry=Registry())  # an empty one: no reference is fetched from anywhere
