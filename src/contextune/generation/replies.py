"""From what a model said to the answer: thoughts removed, ended at the first stop, held against a schema.

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


def answer(said: str, request: Request, cut: bool, cost: Cost, empty: bool = False) -> Answer | Failure:
    """The answer in what a model said; `cut` says that max_tokens ended it, `empty` that no text is a text too."""
    text = ended(spoken(said), request.stop)
    stopped = len(text) < len(spoken(said))
    if cut and not stopped and not request.cut:
        return Failure(f"over-long: cut at {request.max_tokens} tokens", cost=cost)
    if not text.strip() and not empty:
        return Failure("empty: only thoughts" if said.strip() else "empty", cost=cost)
    if not request.schema:
        return Answer(text, cost)
    fitted = fit(text, request.schema)
    return Failure(fitted.reason, cost=cost) if isinstance(fitted, Failure) else Answer(fitted, cost)


def spoken(said: str) -> str:
    """Without a reasoning model's thoughts; a chat template may have opened them before the answer began."""
    rest = re.sub(r"<think>.*?</think>\s*", "", said, flags=re.DOTALL)
    rest = rest.rpartition("</think>")[2].lstrip() if "</think>" in rest else rest
    return rest.partition("<think>")[0]


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
    fenced = re.search(r"```(?:json)?\s*\n(.*?)```", text, flags=re.DOTALL)
    body = (fenced[1] if fenced else text).strip()
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    start = re.search(r"[{\[]", body)
    if start is None:
        return Failure("no JSON in the answer")
    try:
        return json.JSONDecoder().raw_decode(body, start.start())[0]
    except (ValueError, RecursionError) as e:
        return Failure(f"broken JSON: {e}")


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
