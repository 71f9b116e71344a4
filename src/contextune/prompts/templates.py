"""Templates: jinja2, sandboxed, with no variable but those named, and no chance in them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from contextune.core.errors import nearest

from .yaml_models import Problem

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    del environment.filters["random"]  # the same prompt must always give the same text
    return environment


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


def render(template: str, **values: str) -> str:
    return _compiled(template).render(**values)


@lru_cache(maxsize=64)
def variables(template: str) -> frozenset[str]:
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(_environment().parse(template)))


def check(template: str, needed: str, *others: str) -> str:
    """The template as it is; Problem where it is not one that uses `needed` and at most `others`."""
    from jinja2 import TemplateError

    allowed = (needed, *others)
    try:
        used = variables(template)
        for name in sorted(used - {*allowed}):
            raise Problem(f"unknown variable '{name}' in the template", nearest(name, allowed))
        if needed not in used:
            raise Problem(f"the template leaves out the {needed}", f"write {{{{ {needed} }}}} where it belongs")
        render(template, **dict.fromkeys(allowed, "x"))
    except TemplateError as e:
        raise Problem(f"not a jinja2 template ({e})", "check that every brace is closed") from None
    except (TypeError, ArithmeticError, LookupError) as e:
        raise Problem(f"the template fails on a text ({e})") from None
    return template
