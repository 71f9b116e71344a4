"""Reads a YAML file into a model, and says which line is wrong where it cannot."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contextune.core.errors import UserError, nearest, shown

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
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        beside = [p.name for p in path.parent.glob("*") if p.is_file()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file", nearest(path.name, beside) if beside else "") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, expected a file of prompts") from None
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None


def read(path: Path, model: type[ModelT]) -> ModelT:
    """The `model` that a YAML file describes; UserError with file, line and key otherwise."""
    node, value = _parse(path, read_text(path))
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise _explain(e, path, node, model) from None


def digest(*parts: Any) -> str:
    """32 hexadecimal digits of plain JSON values."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _parse(path: Path, text: str) -> tuple[yaml.Node, dict[str, Any]]:
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _refuse_duplicates(node, set())
        value = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(e, "problem", None) or e
        raise UserError(f"{where}: not valid YAML ({problem})", "check indentation and quotes") from None
    except (ValueError, RecursionError) as e:  # an impossible date, say, which the parser reads as one
        raise UserError(f"{path}: not valid YAML ({e})", "put the value in quotes") from None
    if node is None or not isinstance(value, dict):
        found = type(value).__name__ if value is not None else "nothing"
        raise UserError(f"{path}: expected a mapping of keys, found {found}", "see the sets in contextune/prompts")
    return node, value


def _refuse_duplicates(node: yaml.Node | None, seen: set[int]) -> None:
    """YAML lets a later key replace an earlier one silently."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    keys: set[str] = set()
    for child in node.value:
        key, value = child if isinstance(child, tuple) else (None, child)
        if isinstance(key, yaml.ScalarNode):
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' is given twice", key.start_mark
                )
            keys.add(key.value)
        _refuse_duplicates(value, seen)


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
    return UserError(f"{where}: {key}: {first['msg'].lower()}, found {shown(first['input'])}{also}")


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
