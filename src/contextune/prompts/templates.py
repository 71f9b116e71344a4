"""Templates: jinja2, sandboxed and bounded (`core.bounded_jinja`), with no variable but those named."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError, nearest
from contextune.core.templates import fault

from .yaml_models import Problem

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import StrictUndefined

    from contextune.core.bounded_jinja import BoundedEnvironment

    environment = BoundedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    return environment


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


def render(template: str, **values: Any) -> str:
    """The text of a template; UserError where it fails on these values, or takes more than a text needs."""
    try:
        return _compiled(template).render(**values)
    except Exception as e:  # a user's expression on a user's text
        hint = "the template passed on a short text: look at what it does with a long or an empty one"
        raise UserError(f"the template {template[:60]!r} fails on a text ({fault(e)})", hint) from None


@lru_cache(maxsize=64)
def variables(template: str) -> frozenset[str]:
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(_environment().parse(template)))


def check(template: str, needed: str, *others: str) -> str:
    """The template as it is; Problem where it is not one that uses `needed` and at most `others`."""
    allowed = (needed, *others)
    used = names(template)
    for name in sorted(used - {*allowed}):
        raise Problem(f"unknown variable '{name}' in the template", nearest(name, allowed))
    if needed not in used:
        raise Problem(f"the template leaves out the {needed}", f"write {{{{ {needed} }}}} where it belongs")
    attempt(template, dict.fromkeys(allowed, "x"))
    return template


def names(template: str) -> frozenset[str]:
    """The variables of a template; Problem where it cannot be read."""
    try:
        return variables(template)
    except Exception as e:  # jinja2's own errors, and Python's where blocks or operators nest too deeply
        raise Problem(f"not a jinja2 template ({fault(e)})", "check that every brace is closed") from None


def attempt(template: str, values: dict[str, Any], what: str = "template") -> None:
    """Problem where a template fails on a text."""
    try:
        _compiled(template).render(**values)
    except Exception as e:
        raise Problem(f"the {what} fails on a text ({fault(e)})", "write what holds for every text") from None
