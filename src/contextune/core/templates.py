"""jinja2 over one row of data: texts, and expressions that keep their type (a list of options, an index).

What a template may compute is bounded (`bounded_jinja`).
A key of the row wins over a method of the same name: `{{ order.items }}` is the row's. A method is there to be called
only, `{{ order.items() }}`. What is null (NaN, infinities, pandas' NA and NaT too) is an error where it would be
printed, joined or made a number; `{{ year or '' }}` allows for it.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import clock
from .errors import UserError, first_line, nearest

if TYPE_CHECKING:
    from .bounded_jinja import BoundedEnvironment

_ONE_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}|\{%).)*)\}\}\s*", re.DOTALL)
_READERS = frozenset(
    (
        *("abs", "float", "int", "round", "e", "escape", "forceescape", "join", "string", "wordcount"),
        *("capitalize", "center", "format", "indent", "lower", "replace", "striptags", "title", "trim"),
        *("truncate", "upper", "urlencode", "wordwrap"),
    )
)
"""Filters that would read a null as the word "None" or as 0."""


class TextTemplate:
    """A template of text. `names` are the columns that it refers to.

    Nothing is escaped; an unknown column and a null are errors, never empty words; the code in a template cannot
    reach outside it. A trailing newline is kept. `key` is what errors call it. `strftime_now` writes the run's date.
    """

    def __init__(self, source: str, key: str = "template", where: str = "") -> None:
        from jinja2 import meta

        self.key = key
        try:
            self.names = meta.find_undeclared_variables(_environment().parse(source))
            self._template = _environment().from_string(source)
        except Exception as e:  # jinja2's own errors, and Python's where blocks or operators nest too deeply
            hint = "jinja2: write columns as {{ prompt }}, conditions as {% if input %} … {% endif %}"
            raise UserError(f"{f'{where}: ' if where else ''}{key}: {fault(e)}", hint) from None

    def __call__(self, values: Mapping[str, Any], where: str, hidden: Collection[str] = ()) -> str:
        """The text for one row; `hidden` columns exist but are kept from the template."""
        values = plain(values)
        try:
            return self._template.render(values)
        except Exception as e:  # a user's expression on a user's row: whatever it raises is about those two
            raise _failed(e, self, values, where, hidden) from None


class ValueTemplate:
    """What an expression is worth, with its type: `{{ label }}` of a number is that number, else the text."""

    def __init__(self, source: str, key: str, where: str) -> None:
        only = _ONE_EXPRESSION.fullmatch(source)
        self._text = TextTemplate(source, key, where)
        self._expression = _environment().compile_expression(only[1].strip(), undefined_to_none=False) if only else None

    def __call__(self, values: Mapping[str, Any], where: str) -> Any:
        from jinja2 import Undefined

        from .template_budget import within, written

        if self._expression is None:
            return self._text(values, where)
        values = plain(values)
        try:
            with within(values):
                found = self._expression(values)
                return str(found) if isinstance(found, Undefined) else written(_printable(found))
        except Exception as e:
            raise _failed(e, self._text, values, where) from None


_MEANINGS = {
    "no loader for this environment": "templates cannot include, import or extend files",
    "Range too big": "a range of more than 100,000 numbers",
    "object is not iterable": "a loop, or a filter of lists, over what is no list",
    "has no attribute 'items'": "a filter of mappings (xmlattr, dictsort, items) on what is no mapping",
}
"""What Python says of a template, in words."""


def fault(error: Exception) -> str:
    """What is wrong with a template, in words."""
    from jinja2 import TemplateError, TemplateSyntaxError
    from jinja2.exceptions import SecurityError

    if isinstance(error, TemplateSyntaxError):
        return f"line {error.lineno}: {error.message}"
    if isinstance(error, RecursionError | MemoryError):
        return "nested too deeply"
    said = first_line(error)
    for word, meaning in _MEANINGS.items():
        if word in said:
            return meaning
    return (
        first_line(error)
        if isinstance(error, SyntaxError | TemplateError) and not isinstance(error, SecurityError)
        else f"{type(error).__name__}: {first_line(error)}"
    )


def is_null(value: object) -> bool:
    """None, a number that is none or is infinite, or pandas' NA and NaT."""
    if isinstance(value, str):  # most values are: no exception is raised for them
        return False
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return not math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return type(value).__name__ in ("datetime64", "timedelta64") and str(value) == "NaT"
    except OverflowError:  # an integer beyond any float
        return False


def plain(value: Any) -> Any:
    """A row, or a value in it, with None for all that is null, and lists for sets."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=repr)  # whose order would be another one in each process
    return None if is_null(value) else value


class _Null(Exception):
    pass


def _printable(value: Any) -> Any:
    """Refuse what no text should hold: a null, alone or in a list, and a function that was not called."""
    from jinja2 import Undefined

    if isinstance(value, Undefined):
        return value  # fails by itself, and says what is missing
    if is_null(value):
        raise _Null
    if callable(value):
        raise TypeError(f"'{getattr(value, '__name__', value)}' is a function, which a text cannot hold")
    if isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            _printable(part)
    return value


@lru_cache(maxsize=1)
def _environment() -> BoundedEnvironment:
    from jinja2 import StrictUndefined, nodes

    from .bounded_jinja import BoundedEnvironment
    from .template_budget import written

    class Method(StrictUndefined):
        """A method of a value of the row: undefined, but for being called."""

        unsafe_callable = alters_data = False

        def __init__(self, method: Any, obj: object, name: str) -> None:
            super().__init__(obj=obj, name=name)
            self._method = method

        def __call__(self, *args: Any, **options: Any) -> Any:
            return self._method(*args, **options)

    class Environment(BoundedEnvironment):
        def getattr(self, obj: Any, attribute: str) -> Any:
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            found = super().getattr(obj, attribute)
            if inspect.isroutine(found) and isinstance(obj, Mapping | str | list):
                return Method(found, obj, attribute)
            return found

        def call(self, context: Any, obj: Any, *args: Any, **options: Any) -> Any:
            return super().call(context, obj._method if isinstance(obj, Method) else obj, *args, **options)

        def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
            tree = super()._parse(source, name, filename)
            for node in [*tree.find_all((nodes.Concat, nodes.Mod, nodes.Filter, nodes.Call))]:
                if isinstance(node, nodes.Concat):
                    node.nodes = [_checked(n) for n in node.nodes]
                elif isinstance(node, nodes.Mod):
                    node.right = _checked(node.right)
                elif isinstance(node, nodes.Filter) and node.name in _READERS and node.node is not None:
                    node.node, node.args = _checked(node.node), [_checked(n) for n in node.args]
                elif isinstance(node, nodes.Call) and getattr(node.node, "attr", "") == "format":
                    node.args = [_checked(n) for n in node.args]
            return tree

    def _checked(node: nodes.Expr) -> nodes.Expr:
        return nodes.Filter(node, "_printable", [], [], None, None, lineno=node.lineno)

    def shown(value: Any) -> Any:
        return written(_printable(value))

    env = Environment(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True, finalize=shown)
    env.filters["_printable"] = _printable
    env.globals["strftime_now"] = clock.strftime_now
    return env


def _failed(
    error: Exception, template: TextTemplate, values: Mapping[str, Any], where: str, hidden: Collection[str] = ()
) -> UserError:
    from jinja2 import UndefinedError

    from .template_budget import LimitError

    place, columns = f"{where}: {template.key}", [c for c in values if c != "row"]
    if isinstance(error, UndefinedError):
        unknown = sorted(n for n in template.names if n not in values and f"'{n}' is undefined" == error.message)
        if unknown and unknown[0] in hidden:
            hint = "the completion is kept from the template, which would give the answer away"
            return UserError(f"{place}: {error.message}", hint)
        if unknown:
            return UserError(f"{place}: {error.message}, there is no such column", nearest(unknown[0], columns))
        return UserError(f"{place}: {error.message}", f"columns: {', '.join(columns)}")
    if isinstance(error, _Null):
        null = sorted(n for n in template.names if n in values and values[n] is None)
        found = f"'{null[0]}'" if null else "a value"
        allow = f", or write {{{{ {null[0]} or '' }}}}" if null else ""
        return UserError(f"{place}: {found} is null", f"fill it, or remove the row{allow}")
    if isinstance(error, LimitError):
        return UserError(
            f"{place}: it takes {error}", "a template writes one row: shorten its loops, widths and powers"
        )
    said = fault(error)
    if said.startswith("templates cannot"):
        return UserError(f"{place}: {said}", "write the text itself into the template")
    if said.startswith(("nested too", "a range of")):
        return UserError(
            f"{place}: {said}", "a template writes one row: shorten its loops, and call no macro within itself"
        )
    return UserError(f"{place}: {said}", f"columns: {', '.join(columns)}")
