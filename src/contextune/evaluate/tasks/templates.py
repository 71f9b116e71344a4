"""jinja2 over one row: texts, and expressions that keep their type (a list of options, an index)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contextune.core.errors import UserError, nearest

_ONE_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}|\{%).)*)\}\}\s*", re.DOTALL)


class _NullRow(TemplateError):
    pass


def _not_null(value: object) -> object:
    """A null would be printed as the word None, in the middle of a prompt."""
    if value is None:
        raise _NullRow("a value is null")
    return value


_ENV = ImmutableSandboxedEnvironment(
    autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True, finalize=_not_null
)


class TextTemplate:
    """A template of text. Nothing is escaped; an unknown column and a null are errors, never empty words."""

    def __init__(self, source: str, key: str, where: str) -> None:
        self.key = key
        try:
            self.names = meta.find_undeclared_variables(_ENV.parse(source))
            self._template = _ENV.from_string(source)
        except TemplateSyntaxError as e:
            hint = "see jinja2's syntax, e.g. {{ question }}"
            raise UserError(f"{where}: {key}: line {e.lineno} of the template: {e.message}", hint) from None

    def __call__(self, values: Mapping[str, Any], where: str) -> str:
        try:
            return self._template.render(values)
        except Exception as e:
            raise _failed(e, self.key, self.names, values, where) from None


class ValueTemplate:
    """What an expression is worth, with its type: `{{ label }}` of a number is that number, else the text."""

    def __init__(self, source: str, key: str, where: str) -> None:
        only = _ONE_EXPRESSION.fullmatch(source)
        self.key = key
        self._text = TextTemplate(source, key, where)
        self._expression = _ENV.compile_expression(only[1].strip(), undefined_to_none=False) if only else None

    def __call__(self, values: Mapping[str, Any], where: str) -> Any:
        if self._expression is None:
            return self._text(values, where)
        try:
            found = self._expression(values)
            return str(found) if isinstance(found, Undefined) else _not_null(found)
        except Exception as e:
            raise _failed(e, self.key, self._text.names, values, where) from None


def _failed(error: Exception, key: str, names: set[str], values: Mapping[str, Any], where: str) -> UserError:
    """Templates run a user's expression on a user's row: whatever they raise is about those two."""
    columns = [c for c in values if c != "row"]
    unknown = sorted(n for n in names if n not in values)
    if isinstance(error, UndefinedError) and unknown:
        return UserError(f"{where}: {key}: there is no column '{unknown[0]}'", nearest(unknown[0], columns))
    if isinstance(error, _NullRow):
        null = sorted(n for n in names if n in values and values[n] is None)
        return UserError(
            f"{where}: {key}: {f'the column {null[0]!r}' if null else 'a value'} is null", "fill it or remove the row"
        )
    return UserError(f"{where}: {key}: {error}", f"columns: {', '.join(columns)}")
