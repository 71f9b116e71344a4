"""YAML files as people write them, and keys set from the command line.

Of a bounded size, also with aliases written out; numbers, truths and texts, no other tags. Dates, `010` and `1:30`
are texts, `1e-4` is a number, and a key given twice is an error.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from .errors import UserError
from .reading import DEPTH, read_text

LIMIT = 2**19
"""Bytes of a YAML file."""
NODES = 200_000
"""Values of a YAML file, those that aliases stand for counted each time."""
DIGITS = 300
"""Digits of a number: no float has more."""


def read_yaml(path: Path, expected: str = "a YAML file") -> dict[str, Any]:
    """A YAML mapping; UserError with file and line otherwise."""
    try:
        text = read_text(path, expected, LIMIT)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file", "contextune recipes lists ready ones; contextune init NAME copies one"
        ) from None
    return parse_mapping(text, str(path))[1]


def parse_mapping(text: str, where: str) -> tuple[yaml.Node, dict[str, Any]]:
    """A YAML mapping, as its node (which has the lines) and as its value; UserError with the line otherwise."""
    node, value = parse_yaml(text, where)
    if node is None or not isinstance(value, dict):
        found = type(value).__name__ if value is not None else "nothing"
        raise UserError(f"{where}: expected a mapping of keys, found {found}", "write KEY: VALUE, one a line")
    return node, value


def parse_yaml(text: str, where: str) -> tuple[yaml.Node | None, Any]:
    """Any YAML value and its node; UserError of `where` and the line otherwise."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        found = f"the character U+{ord(text[e.position]):04X}, which YAML does not allow"
        raise UserError(f"{where}:{line}: not valid YAML ({found})", "is it a text file, in UTF-8?") from None
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        at = f"{where}:{mark.line + 1}" if mark else where
        problem = getattr(e, "problem", None) or e
        if str(problem).startswith("but "):
            problem = f"{getattr(e, 'context', '')}, {problem}"
        problem = str(problem).replace("found '\\x00'", "found the end of the text")
        begins = next(iter(text.strip()), "")
        if "expected alphabetic" in problem and begins in "*&":
            problem = f"a text that begins with {begins} reads as a YAML reference"
        hint = next((fix for word, fix in _FIXES.items() if word in problem), "check indentation and quotes")
        raise UserError(f"{at}: not valid YAML ({problem})", hint) from None


_FIXES = {
    "'\\t'": "indent with spaces",
    "alias stands in": "leave the reference (*NAME) out, or write the value out",
    "reads as a YAML reference": "write it in quotes",
    "undefined alias": "write a text that begins with * in quotes",
    "nested deeper": "write it with fewer levels",
    "with aliases written out": "write fewer values; rows belong in a file of their own",
    "digits, at most": "write a smaller number, or a text in quotes",
    "tag": "leave the tag (!…) out; write a text that begins with ! in quotes",
    "a NUL character": "remove it",
    "half of a surrogate pair": "write the whole character",
    "given twice": "keep one of the two",
    "cannot be a key": "write a text as the key",
}
"""Fixes by a word of the problem."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as people mean it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = self._high = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        """Values in a node, with itself, and levels."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise ConstructorError(None, None, "an alias stands in what it refers to", mark)
            size, high = self._sizes[id(node)]
        else:
            self._depth, before, self._high, outer = self._depth + 1, self._nodes, 0, self._high
            self._refuse(self._depth, mark)
            node = super().compose_node(parent, index)
            size, high = 1, self._high + 1
            self._sizes[id(node)] = self._nodes - before + 1, high
            self._depth, self._high = self._depth - 1, outer
        self._nodes += size
        self._high = max(self._high, high)
        self._refuse(self._depth + high, mark)
        return node

    def _refuse(self, depth: int, mark: yaml.Mark) -> None:
        if depth > DEPTH:
            raise ConstructorError(None, None, f"nested deeper than {DEPTH} levels", mark)
        if self._nodes > NODES:
            raise ConstructorError(None, None, f"more than {NODES:,} values, with aliases written out", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):  # of an explicit tag
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"'{node.value!s:.40}' is no {kind}", node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConstructorError(None, None, "a list or a mapping cannot be a key", key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConstructorError(None, None, f"the key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> str:
        value = str(super().construct_scalar(node))
        odd = re.search("[\0\ud800-\udfff]", value)
        if odd:
            found = "a NUL character" if odd[0] == "\0" else "half of a surrogate pair"
            raise ConstructorError(None, None, f"{found} in '{value[: odd.start()][-20:]}…'", node.start_mark)
        return value

    def construct_yaml_int(self, node: Any) -> int:
        text = str(node.value)
        if len(text) > DIGITS:
            problem = f"a number of {len(text):,} digits, at most {DIGITS} are read"
            raise ConstructorError(None, None, problem, node.start_mark)
        return int(super().construct_yaml_int(node))


def _resolve() -> None:
    """Which words are numbers; of SafeLoader's tags only those of JSON are read."""
    word = "tag:yaml.org,2002:"
    plain = {f"{word}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
    _Loader.yaml_constructors = {
        **{tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in plain or tag is None},
        f"{word}int": _Loader.construct_yaml_int,
    }
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag in (f"{word}null", f"{word}bool", f"{word}merge")]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    whole = re.compile(r"^(?:[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+)$")
    part = re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    )
    _Loader.add_implicit_resolver(f"{word}float", part, list("-+0123456789."))
    _Loader.add_implicit_resolver(f"{word}int", whole, list("-+0123456789"))


_resolve()


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would take for something else than a text."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Line ends of Unicode are lost in other styles."""
    style = '"' if {"\x85", "\u2028", "\u2029"} & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
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
        if len(keys) > DEPTH:
            raise UserError(f"override '{dotted[:40]}…': {len(keys):,} keys in each other", "check the dots")
        for key in keys[:-1]:
            step = at.setdefault(key, {}) if isinstance(at, dict) else None
            if step is None:
                step = at[key] = {}
            if isinstance(step, str) and key == "model":
                step = at[key] = {"path": step}
            if not isinstance(step, dict):
                raise UserError(
                    f"override '{override}': '{key}' is not a group of keys", f"set {key} itself, or in the file"
                )
            at = step
        at[keys[-1]] = parse_yaml(text, f"override '{override[:60]}'")[1]
    return value
