"""Forms of answers: where the values are in an answer, and what of it is structure.

    tree     [IN:GET_WEATHER [SL:LOCATION Oslo ] ]         the words of a slot
    sql      SELECT name FROM city WHERE state = 'Iowa'    literals (`editing.sql`)
    json     {"city": "Oslo", "days": 3}                   strings and numbers
    markup   <to>Oslo</to>                                 the text of an element
    python   book("Oslo", days=3)                          strings and numbers
    text     Oslo is in Norway.                            names and numbers (`editing.values`)

A form reads an answer into values, each with its kind: the slot, column, key, element or argument that it stands in.
What is no value is structure, and no edit touches it. An answer that looks structured and that no form can read has
no values.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from functools import lru_cache
from html.parser import HTMLParser

from .spans import Kind, Value
from .sql import literals

Values = tuple[Value, ...]


@lru_cache(maxsize=65536)
def read(answer: str) -> tuple[str, Values]:
    """The form of an answer, and its values in order; those of `text` depend on the input, `unknown` has none."""
    for name, form in FORMS.items():
        if (found := form(answer)) is not None:
            return name, tuple(sorted(found, key=lambda v: v.start))
    return ("unknown" if STRUCTURED.search(answer) else "text"), ()


STRUCTURED = re.compile(
    r"```|[{}\\|]|;\s*(?:\n|$)|=[=>]|\w\(|</?[a-zA-Z]|\b\w+=\S"
    r"|^\s*(?:select|with|insert|update|delete|create)\b.*\b(?:from|into|as|set|table)\b",
    re.IGNORECASE | re.DOTALL,
)
"""Answers that no edit by words is safe in."""


def _tree(answer: str) -> list[Value] | None:
    """A bracketed tree with labels; its values are the words of nodes that hold nothing else."""
    text = answer.strip()
    if not re.match(r"[\[(]\s*[A-Z][\w:.+-]*\s", text):
        return None
    labels: list[str] = []
    spans: list[tuple[int, int] | None] = []
    inner: list[bool] = []
    found: list[Value] = []
    closed = False
    for token in re.finditer(r"[\[(]\s*([^\s\[\]()]+)|[\])]|[^\s\[\]()]+", answer):
        if closed:
            return None
        if token[1]:
            if inner:
                inner[-1] = True
            labels.append(token[1])
            spans.append(None)
            inner.append(False)
        elif token[0] in "])":
            if not labels:
                return None
            label, span, nested = labels.pop(), spans.pop(), inner.pop()
            if span and not nested:
                kind = ("tree", labels[-1] if labels else "", label)
                found.append(Value(*span, answer[slice(*span)], kind))
            closed = not labels
        elif not labels:
            return None
        else:
            begun = spans[-1]
            spans[-1] = (begun[0] if begun else token.start(), token.end())
    return found if closed and _balanced(answer) else None


def _balanced(text: str) -> bool:
    open_: list[str] = []
    for character in text:
        if character in "[(":
            open_.append(character)
        elif character in "])" and (not open_ or open_.pop() + character not in ("[]", "()")):
            return False
    return not open_


def _json(answer: str) -> list[Value] | None:
    """An object or a list; a value's kind is its path without numbers."""
    if answer.strip()[:1] not in ("{", "["):
        return None
    try:
        json.loads(answer)
    except ValueError:
        return None
    found: list[Value] = []
    path: list[str] = []
    key = ""
    tokens = list(re.finditer(r'"((?:[^"\\]|\\.)*)"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}\[\]:,]|\w+', answer))
    for i, token in enumerate(tokens):
        if token[0] in "{[":
            path.append(key)
            key = ""
        elif token[0] in "}]":
            key = path.pop()
        elif i + 1 < len(tokens) and tokens[i + 1][0] == ":" and token[1] is not None:
            key = token[1]
        elif token[1] is not None and "\\" not in token[1]:
            found.append(Value(token.start(1), token.end(1), token[1], ("json", "string", *path, key)))
        elif re.fullmatch(r"-?\d+(?:\.\d+)?", token[0]):
            found.append(Value(token.start(), token.end(), token[0], ("json", "number", *path, key)))
    return found


class _Elements(HTMLParser):
    """Text of elements, with the tags that it stands in; `sound` where every tag is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.text, self.open, self.found, self.sound = text, list[str](), list[Value](), True
        starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.starts, self.seen = starts, 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen += 1

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen += 1

    def handle_endtag(self, tag: str) -> None:
        self.sound = self.sound and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        line, column = self.getpos()
        bare = data.strip()
        start = self.starts[line - 1] + column + len(data) - len(data.lstrip())
        if bare and self.open:
            self.found.append(Value(start, start + len(bare), bare, ("markup", *self.open)))
        self.sound = self.sound and (not bare or bool(self.open))


def _markup(answer: str) -> list[Value] | None:
    """Elements that are closed in turn, and nothing outside of them."""
    if not re.match(r"\s*<[A-Za-z?!]", answer):
        return None
    elements = _Elements(answer)
    if not (elements.sound and not elements.open and elements.seen):
        return None
    return [v for v in elements.found if answer[v.start : v.end] == v.text]


def _python(answer: str) -> list[Value] | None:
    """Code that does something; a value's kind is what it is an argument of or is assigned to."""
    try:
        tree = ast.parse(answer.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    doing = (ast.Call, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef, ast.Import,
             ast.ImportFrom, ast.Return, ast.For, ast.If, ast.Compare, ast.Subscript)  # fmt: skip
    if not any(isinstance(node, doing) for node in ast.walk(tree)):
        return None
    shift, lines = len(answer) - len(answer.lstrip()), answer.strip().splitlines(keepends=True)
    try:
        list(tokenize.generate_tokens(io.StringIO(answer.strip()).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    starts = [sum(map(len, lines[:i])) for i in range(len(lines) + 1)]
    found = []
    for kind, node in _constants(tree, ()):
        line, last = node.lineno, node.end_lineno or node.lineno
        if line != last or not answer.isascii():
            continue
        start, end = starts[line - 1] + node.col_offset + shift, starts[line - 1] + (node.end_col_offset or 0) + shift
        source = answer[start:end]
        if isinstance(node.value, str) and source[1:-1] == node.value:
            found.append(Value(start + 1, end - 1, node.value, kind))
        elif type(node.value) in (int, float) and source.replace(".", "").isdecimal():
            found.append(Value(start, end, source, kind))
    return found


def _constants(node: ast.AST, kind: Kind) -> Iterator[tuple[Kind, ast.Constant]]:
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.Constant):
        yield ("python", type(node.value).__name__, *kind), node
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        yield from _constants(node.func, (name,))
        for i, argument in enumerate(node.args):
            yield from _constants(argument, (name, str(i)))
        for keyword in node.keywords:
            yield from _constants(keyword.value, (name, keyword.arg or "**"))
    elif isinstance(node, ast.Assign):
        yield from _constants(node.value, ("=", ast.unparse(node.targets[0])))
    else:
        for child in ast.iter_child_nodes(node):
            yield from _constants(child, (*kind[:1], type(node).__name__))


def _sql(answer: str) -> list[Value] | None:
    if not re.match(r"\s*(?:select|with|insert|update|delete)\b", answer, re.IGNORECASE):
        return None
    return literals(answer)


FORMS: dict[str, Callable[[str], list[Value] | None]] = {
    "tree": _tree,
    "sql": _sql,
    "json": _json,
    "markup": _markup,
    "python": _python,
}


def agrees(old: str, new: str, changed: Seq[tuple[str, str]]) -> bool:
    """Whether an edited answer has the form and the kinds of the old one, and its values but for those `changed`."""
    (form, before), (other, after) = read(old), read(new)
    to = dict(changed)
    return form == other and [(v.kind, to.get(v.text, v.text)) for v in before] == [(v.kind, v.text) for v in after]
