"""The jinja2 template that turns a row's columns into the context of a pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from contextune.core.errors import UserError, nearest


class _Null(Exception):
    pass


def _printed(value: Any) -> Any:
    if value is None:
        raise _Null
    return value


class Template:
    """`names` are the columns that the text refers to.

    Nothing is escaped; a name that a row does not have is an error, and so is a null that would be
    printed as "None"; the code in a template cannot reach outside it. A trailing newline is kept: it
    stands between prompt and completion.
    """

    def __init__(self, text: str) -> None:
        from jinja2 import StrictUndefined, TemplateSyntaxError, meta
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        env = ImmutableSandboxedEnvironment(
            autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True, finalize=_printed
        )
        try:
            self.names = meta.find_undeclared_variables(env.parse(text))
            self._template = env.from_string(text)
        except TemplateSyntaxError as e:
            hint = "write columns as {{ prompt }}, conditions as {% if input %} … {% endif %}"
            raise UserError(f"template: line {e.lineno}: {e.message}", hint) from None

    def render(self, values: Mapping[str, Any], origin: str, hidden: Collection[str] = ()) -> str:
        """The text for one row; `hidden` columns exist but are kept from the template."""
        from jinja2 import TemplateError, UndefinedError

        try:
            return self._template.render(values)
        except UndefinedError as e:
            unknown = sorted(self.names - values.keys())
            if set(unknown) & set(hidden):
                hint = "the completion is kept from the template, which would give the answer away"
            else:
                hint = nearest(unknown[0], values) if unknown else ""
            raise UserError(f"{origin}: template: {e.message}", hint) from None
        except _Null:
            null = next((n for n in sorted(self.names) if values.get(n) is None), "COLUMN")
            hint = f"write {{{{ {null} or '' }}}}, or remove the row"
            raise UserError(f"{origin}: template: '{null}' is null", hint) from None
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as e:
            raise UserError(f"{origin}: template: {type(e).__name__}: {e}") from None
