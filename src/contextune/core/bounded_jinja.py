"""jinja2 for templates that come from outside: sandboxed, without chance, bounded in steps, time and size.

    {% for a in range(9999) %}{% for b in range(9999) %}…   at most STEPS turns and calls, and SECONDS
    {{ 9 ** 9 ** 9 }}  {{ 'a' * 9 ** 9 }}                   numbers of BITS, SIZE characters made in all
    {{ 'a' | center(9 ** 9) }}  {{ '%9999999d' % 1 }}       widths of at most WIDTH

What goes beyond raises `LimitError`; what a rendering has used so far is counted in `template_budget`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache, wraps
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes, pass_context, pass_environment
from jinja2.filters import make_attrgetter
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from .errors import shown
from .template_budget import ELEMENT, TEXTS, LimitError, count, current, made, spend, step, within, written

CHANCE = "No filter named 'random', which would give another text each time"
BITS = 2**13
WIDTH = 9_999
"""Columns that text is filled to, and digits behind the point."""
SOURCE = 2**20
"""Characters of a template."""

_FILLING = frozenset(("center", "ljust", "rjust", "zfill", "indent", "batch", "slice", "round", "tojson", "to_bytes"))
"""Filters and methods whose numbers are widths or counts."""
_STRUCTURAL = frozenset(
    (
        *("attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length", "list"),
        *("map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "sum"),
        *("unique", "abs", "int", "float"),
    )
)
"""Filters that write nothing of what they are given."""


_NOW = frozenset(("now", "today", "utcnow"))
"""Methods of dates that read the clock."""


class _Bounds(NodeTransformer):
    """A step in each turn of a loop; what is joined, cut out or listed is counted."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        tick = nodes.Filter(nodes.Const(None), "_step", [], [], None, None, lineno=node.lineno)
        node.body = [nodes.ExprStmt(tick, lineno=node.lineno), *node.body]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        first, *rest = node.nodes
        return nodes.Filter(first, "_concat", rest, [], None, None, lineno=node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        cut = isinstance(node.arg, nodes.Slice) and node.ctx == "load"
        return nodes.Filter(node, "_made", [], [], None, None, lineno=node.lineno) if cut else node

    def _listed(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        if getattr(node, "ctx", "load") != "load":
            return node
        return nodes.Filter(node, "_made", [], [], None, None, lineno=node.lineno)

    visit_List = visit_Tuple = visit_Dict = _listed


class _Template(Template):
    def render(self, *args: Any, **values: Any) -> str:
        with within(dict(*args, **values)):
            return super().render(*args, **values)

    def generate(self, *args: Any, **values: Any) -> Iterator[str]:
        with within(dict(*args, **values)):
            yield from super().generate(*args, **values)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose templates end, and whose same template always gives the same text."""

    template_class = _Template
    intercepted_binops = frozenset(("+", "-", "*", "**", "%"))

    def __init__(self, **options: Any) -> None:
        options.setdefault("finalize", written)
        super().__init__(**options)
        self.filters.pop("random"), self.globals.pop("lipsum")
        self.filters |= {"_step": _step, "_concat": _concat, "_made": made, "sum": _sum}

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        return "".join(_counted(pieces))

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        for name, function in self.filters.items():
            if not name.startswith("_") and not hasattr(function, "bounded"):
                self.filters[name] = _bounded(name, function)
        return super()._generate(_Bounds().visit(source), *args, **options)

    def parse(self, source: str, *args: Any, **options: Any) -> nodes.Template:
        _refuse_long(source)
        return super().parse(source, *args, **options)

    def compile(self, source: Any, *args: Any, **options: Any) -> Any:
        _refuse_long(source)
        return super().compile(source, *args, **options)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator in ("*", "**"):
            _before_product(operator, left, right)
        elif operator == "%" and isinstance(left, TEXTS):
            _before_format(left, right if isinstance(right, tuple | list) else (right,))
        found = super().call_binop(context, operator, left, right)
        if isinstance(found, set | frozenset):  # of keys: in the order that they had
            found = [part for part in left if part in found]
        return made(found)

    def is_safe_attribute(self, obj: Any, attribute: str, value: Any) -> bool:
        if attribute in _NOW and isinstance(obj, date):
            raise TemplateError(
                f"{attribute} reads the clock; strftime_now('%Y-%m-%d') is the day on which the run began"
            )
        return super().is_safe_attribute(obj, attribute, value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(nodes.Filter):
            if node.name == "random":
                raise TemplateSyntaxError(CHANCE, node.lineno)
        return tree

    def call(self, context: Any, obj: Any, /, *args: Any, **options: Any) -> Any:
        step()
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps str.format
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, (*TEXTS, int)):
            args = _before(name, owner, args, options)
        return made(super().call(context, obj, *args, **options))


def _refuse_long(source: object) -> None:
    if isinstance(source, str) and len(source) > SOURCE:
        raise LimitError(f"a template of {len(source):,} characters, at most {SOURCE:,} are read")


@pass_context
def _step(context: Any, value: object) -> None:
    step()


@pass_context
def _concat(context: Any, *parts: Any) -> str:
    return str(made("".join(str(written(part)) for part in parts)))


@pass_environment
def _sum(environment: Any, values: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    """jinja2's sum, counted at each step: it also joins lists."""
    read = make_attrgetter(environment, attribute) if attribute is not None else lambda value: value
    for value in values:
        step()
        start = made(start + read(value))
    return start


def _counted(pieces: Iterable[str]) -> Iterator[str]:
    budget = current()
    for piece in pieces:
        if budget is not None:
            budget.spend(len(piece))
            budget.look()
        yield piece


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that looks at what it is given before it begins, and counts what it makes."""
    skip = 0 if getattr(function, "jinja_pass_arg", None) is None else 1

    @wraps(function)
    def bounded(*args: Any, **options: Any) -> Any:
        if len(args) > skip:
            rest = _before(name, args[skip], args[skip + 1 :], options)
            value = list(args[skip]) if name == "join" and not isinstance(args[skip], TEXTS) else args[skip]
            if name == "join" and isinstance(value, list):
                _before_join(value, str(rest[0] if rest else options.get("d", "")))
            elif name not in _STRUCTURAL and not isinstance(value, TEXTS):
                written(value)
            args = (*args[:skip], value, *rest)
        return made(function(*args, **options))

    bounded.bounded = True  # type: ignore[attr-defined]
    return bounded


def _before(name: str, value: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Refuse or spend what a filter or a method of `value` is about to make; its arguments, iterators as lists."""
    given = (*args, *options.values())
    numbers = [abs(a) for a in given if isinstance(a, int)]
    if name in _FILLING and numbers and max(numbers) > WIDTH:
        raise LimitError(f"{name} of {shown(max(numbers), 20)}, at most {WIDTH:,}")
    if not isinstance(value, TEXTS):
        return args
    text: Any = value
    if name == "replace" and len(args) > 1:
        spend(text.count(args[0]) * max(0, len(args[1]) - len(args[0])) if isinstance(args[1], type(text)) else 0)
    elif name == "expandtabs":
        spend(text.count("\t" if isinstance(text, str) else b"\t") * max(numbers, default=8))
    elif name in ("indent", "wordwrap"):
        filled = max((len(a) for a in given if isinstance(a, str)), default=max(numbers, default=4))
        spend(
            (len(text) if name == "wordwrap" and any(isinstance(a, str) for a in given) else text.count("\n") + 1)
            * filled
        )
    elif name == "striptags":
        spend(len(text) * text.count("<!--") >> 8)
    elif name in ("format", "format_map"):
        _before_format(text, given)
    elif name == "translate" and args and isinstance(args[0], Mapping):
        spend(len(text) * max((len(v) for v in args[0].values() if isinstance(v, str)), default=0))
    elif name == "join" and args and not isinstance(args[0], TEXTS):
        args = (list(args[0]), *args[1:])
        _before_join(args[0], text)
    return args


def _before_join(values: list[Any], between: str | bytes) -> None:
    spend(len(between) * len(values))
    count(values, 1)


def _before_product(operator: str, left: Any, right: Any) -> None:
    if operator == "*":
        for value, times in ((left, right), (right, left)):
            if isinstance(value, (*TEXTS, list, tuple)) and isinstance(times, int):
                spend(len(value) * max(times, 0) * (1 if isinstance(value, TEXTS) else ELEMENT))
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS and abs(left) > 1:
            raise LimitError(f"a number of more than {BITS:,} bits")


def _before_format(text: str | bytes, given: Iterable[Any]) -> None:
    """Widths in a format, or given to it, and all that it writes."""
    form, given = (text if isinstance(text, str) else text.decode("latin1")), tuple(given)
    if re.search(r"\d{5}", form):
        raise LimitError(f"a width of more than {WIDTH:,}")
    if re.search(r"\*|:[^}]*\{", form) and any(isinstance(a, int) and abs(a) > WIDTH for a in given):
        raise LimitError(f"a width of more than {WIDTH:,}")
    for value in given:
        written(value)


@lru_cache(maxsize=1)
def bound_chat_templates() -> None:
    """From now on transformers compiles chat templates, which come with models, in this environment."""
    from transformers.utils import chat_template_utils

    module: Any = chat_template_utils
    module.ImmutableSandboxedEnvironment = BoundedEnvironment
    module._compile_jinja_template.cache_clear()
