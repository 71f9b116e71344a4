"""YAML files as people write them, and keys set from the command line."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; UserError with file and line otherwise."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file", "contextune recipes lists ready ones; contextune init NAME copies one"
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, expected a YAML file") from None
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(
            f"{where}: not valid YAML ({getattr(e, 'problem', None) or e})", "check indentation and quotes"
        ) from None
    if not isinstance(value, dict):
        raise UserError(
            f"{path}: expected a mapping of keys, found {type(value).__name__ if value is not None else 'nothing'}"
        )
    return value


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as people mean it: `1e-4` is a number, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # SafeLoader wants a dot in the mantissa
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would take for something else than a text."""


for _first, _known in _Loader.yaml_implicit_resolvers.items():
    _Dumper.yaml_implicit_resolvers = {**_Dumper.yaml_implicit_resolvers, _first: _known}


def dump(value: dict[str, Any]) -> str:
    """YAML that `read_yaml` reads back as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def apply(value: dict[str, Any], overrides: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """`a.b=c` for each override, with c read as YAML. The input is left as it is."""
    value = copy.deepcopy(value)
    for override in overrides:
        dotted, eq, text = override.partition("=")
        if not eq or not dotted:
            raise UserError(f"override '{override}': expected KEY=VALUE", "for example train.lr=1e-4")
        keys, at = dotted.split("."), value
        for key in keys[:-1]:
            step = at.setdefault(key, {}) if isinstance(at, dict) else None
            if step is None:
                step = at[key] = {}
            if isinstance(step, str) and key == "model":
                step = at[key] = {"path": step}
            if not isinstance(step, dict):
                raise UserError(f"override '{override}': '{key}' is not a group of keys")
            at = step
        try:
            at[keys[-1]] = yaml.load(text, _Loader)
        except yaml.YAMLError:
            raise UserError(f"override '{override}': '{text}' is not valid YAML") from None
    return value
