"""A recipe's mistakes in words: the key as it was written, and the nearest one that is known."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from contextune.augment.options import keys_of
from contextune.core import registry
from contextune.core.errors import UserError, nearest, shown
from contextune.core.options import Named, fix_of
from contextune.core.reading import whole_number

Root = type[BaseModel]
"""The model of a whole recipe."""


def explain(
    error: ValidationError, where: str, value: dict[str, Any], root: Root, within: tuple[str, ...] = ()
) -> UserError:
    """The first problem in words: file, key, found, expected, fix. `within` is where the model that failed stands."""
    problems: dict[str, list[Any]] = {}  # a value of several types has a problem for each
    for one in error.errors(include_url=False):
        path = [*within, *(str(p) for p in one["loc"] if not str(p).startswith("function-"))]
        problems.setdefault(".".join(_written_keys(_as_written(path, value), value)), []).append((one, path))
    key, same = next(iter(problems.items()))
    (problem, path), more = same[0], len(problems) - 1
    also = f" (and {more} more)" if more else ""
    if problem["type"] == "extra_forbidden":
        siblings, homes = _keys(path[:-1], value, root), _homes(path[-1], problem["input"], root)
        hint = nearest(path[-1], siblings)
        if not hint.startswith("did") and homes:
            hint = f"'{path[-1]}' belongs in {' or '.join(homes)}"
        return UserError(f"{where}: unknown key '{key}'{also}", hint)
    given = _value(path[:-1], value) if problem["type"] == "missing" else None
    if isinstance(given, list | tuple):
        needed = max(int(one["loc"][-1]) for one, _ in same) + 1
        return UserError(
            f"{where}: {key}: {needed} values are needed, found {len(given)}{also}", "write a list: [A, B]"
        )
    if problem["type"] == "missing":
        return UserError(f"{where}: the key '{key}' is missing{also}", "contextune recipes lists complete examples")
    first, *others = (one["msg"].removeprefix("Value error, ") for one, _ in same)
    message = " or ".join([first, *(text.removeprefix("Input should be ") for text in others)])
    if problem["input"] is None and message.startswith("Input"):
        return UserError(f"{where}: {key} is empty ({message[0].lower()}{message[1:]}){also}", fix_of(problem))
    found = "" if isinstance(problem["input"], dict) else f", found {shown(problem['input'])}"
    said = message + (found if problem["type"] != "value_error" else "")
    return UserError(f"{where}: {key + ': ' if key else ''}{said}{also}", fix_of(problem))


def _as_written(path: list[str], value: dict[str, Any]) -> list[str]:
    """A stage that was written as its arm is named so."""
    short = path[2:4] == ["stages", "0"] and "data" in (_at(value, path[:2]) or {})
    return path[:2] + path[4:] if short else path


def _written_keys(path: list[str], value: Any) -> list[str]:
    """A path without what pydantic adds to it where a value may have one of several types."""
    for i, key in enumerate(path):
        if not isinstance(value, dict | list | tuple):
            return path[:i]
        if isinstance(value, dict):
            if key not in value:
                return path
            value = value[key]
        elif (place := whole_number(key)) is not None and place < len(value):
            value = value[place]
        else:
            return path[:i]
    return path


def _at(value: Any, path: list[str]) -> dict[str, Any] | None:
    found = _value(path, value)
    return found if isinstance(found, dict) else None


def _value(path: list[str], value: Any) -> Any:
    """What stands at a path, through mappings alone."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _models(model: type[BaseModel], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], type[BaseModel]]:
    """Every group of keys in the grammar: path (`*` for a free name) to its model."""
    found = {path: model}
    for name, info in model.model_fields.items():
        for inner in _inner(info.annotation):
            free = "dict" in str(info.annotation) and inner is not info.annotation
            found |= _models(inner, (*path, name, *(("*",) if free else ())))
    return found


def _inner(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _inner(part)]


def _keys(path: list[str], value: dict[str, Any], root: Root) -> list[str]:
    """The keys that may stand in a group."""
    named = [p for p in path if not p.isdigit()]
    if named[-1:] == ["context"]:
        options = _at(value, _as_written(path, value)) or {}
        policy: type[Named] = registry.policies.find(str(options.get("policy")))
        return policy.option_names()
    groups = _models(root)
    if named[-1:] == ["train"]:
        return list(groups["train",].model_fields)
    if "augment" in named:
        return keys_of(
            path[path.index("augment") + 1 :], _at(value, _as_written(path[: path.index("augment") + 1], value))
        )
    for pattern, model in groups.items():
        if len(pattern) == len(named) and all(a in ("*", b) for a, b in zip(pattern, named, strict=True)):
            return list(model.model_fields)
    return list(groups["arms", "*", "stages"].model_fields)


def _homes(key: str, given: Any, root: Root) -> list[str]:
    """Where there is such a key: where it may have the value `given`, else all."""
    fields = {p: m.model_fields[key] for p, m in _models(root).items() if key in m.model_fields}
    fits = [p for p, field in fields.items() if _takes(field, given)]
    return sorted({".".join(p).replace("*", "NAME") or "the top level" for p in fits or fields})


def _takes(field: FieldInfo, given: Any) -> bool:
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        adapter.validate_python(given)
    except ValidationError:
        return False
    return True
