"""From values to one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from contextune.core.ownership import save_page

from . import numbers, text

HERE = Path(__file__).parent / "page"


@cache
def environment() -> Environment:
    """Templates that escape everything they are given; an unknown name in them is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters |= {
        "num": numbers.num,
        "signed": numbers.signed,
        "between": numbers.between,
        "duration": numbers.duration,
        "exact": exact,
        "pieces": text.pieces,
    }
    return made


def _finalize(value: Any) -> Any:
    """Data may hold characters that a page must not; Markup is the templates' own."""
    return (
        "" if value is None else text.safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value
    )


def exact(value: Any) -> str:
    """A number as results.json has it, for sorting and for scripts that read a page."""
    return "" if value is None else json.dumps(value)


def page(template: str, *, scripts: Iterable[str] = ("script.js",), connect: bool = False, **values: Any) -> str:
    """The template filled in, with the style and the scripts inside and a policy that lets no other script run.

    With `connect` they may ask the server that the page came from.
    """
    style, script = _part("style.css"), "\n".join(map(_part, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sources = f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'" + "; connect-src 'self'" * connect
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    made = environment().get_template(template)
    return made.render(style=Markup(style), script=Markup(script), policy=policy, **values)


@cache
def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").strip()


def save(path: Path, html: str) -> Path:
    """Whole or not at all, UTF-8, the same line ends everywhere; UserError where another's file has that name."""
    return save_page(path, html)
