"""Reads a YAML file into a model, and says which line is wrong where it cannot."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contextune.core import reading
from contextune.core.errors import UserError, nearest, shown
from contextune.core.options import fix
from contextune.core.yaml_files import LIMIT, parse_mapping

ModelT = TypeVar("ModelT", bound=BaseModel)
BUILT_IN = Path(__file__).parent


class Problem(ValueError):
    """Something wrong with a value: `at` is the way to it below the value that was validated."""

    def __init__(self, message: str, hint: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.hint, self.at = hint, at


def find(name: str, folder: Path | None) -> Path:
    """A path as a recipe gives it, relative to the recipe's folder."""
    return (folder or Path()) / Path(name).expanduser()


def read_text(path: Path) -> str:
    try:
        return reading.read_text(path, "a file of prompts", LIMIT)
    except FileNotFoundError:
        beside = [p.name for p in path.parent.glob("*") if p.is_file()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file", nearest(path.name, beside) if beside else "") from None


def read(path: Path, model: type[ModelT]) -> ModelT:
    """The `model` that a YAML file describes; UserError with file, line and key otherwise."""
    node, value = parse_mapping(read_text(path), str(path))
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise _explain(e, path, node, model) from None


def digest(*parts: Any) -> str:
    """32 hexadecimal digits of plain JSON values."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _explain(error: ValidationError, path: Path, node: yaml.Node, model: type[BaseModel]) -> UserError:
    errors = error.errors(include_url=False)
    # A misspelt key is also a missing one: the former says what to do.
    first, more = min(errors, key=lambda e: e["type"] != "extra_forbidden"), len(errors) - 1
    problem = first.get("ctx", {}).get("error")
    at = (*first["loc"], *(problem.at if isinstance(problem, Problem) else ()))
    where, key = f"{path}:{_line(node, at)}", _dotted(at)
    also = f" (and {more} more)" if more else ""
    if first["type"] == "extra_forbidden":
        return UserError(f"{where}: unknown key '{key}'{also}", nearest(str(at[-1]), _keys(model, at[:-1])))
    if first["type"] == "missing":
        return UserError(f"{where}: the key '{key}' is missing{also}", f"keys here: {', '.join(_keys(model, at[:-1]))}")
    if isinstance(problem, Problem):
        return UserError(f"{where}: {key}: {problem}{also}", problem.hint)
    return UserError(f"{where}: {key}: {first['msg'].lower()}, found {shown(first['input'])}{also}", fix(first["type"]))


def _dotted(at: tuple[str | int, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in at).lstrip(".")


def _line(node: yaml.Node, at: tuple[str | int, ...]) -> int:
    """The line, from one, of the innermost part of `at` that the file has."""
    line = node.start_mark.line
    for part in at:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(v, v) for v in node.value[part : part + 1]]
        else:
            found = []
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return int(line) + 1


def _keys(model: type[BaseModel], at: tuple[str | int, ...]) -> list[str]:
    """The keys that the model has at a place; a list's items are models of their own."""
    for name in (p for p in at if isinstance(p, str)):
        inner = getattr(model.model_fields[name].annotation, "__args__", ())
        model = next((a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)), model)
    return list(model.model_fields)
