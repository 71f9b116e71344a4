"""Every message to the user says how to go on."""

from __future__ import annotations

import ast
from pathlib import Path

import contextune


def without_fix(tree: ast.AST) -> list[int]:
    """Lines of UserErrors that are made without a hint."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "UserError"]
    given = {id(c): [*c.args[1:], *(k.value for k in c.keywords if k.arg == "hint")] for c in calls}
    return [c.lineno for c in calls if not given[id(c)] or getattr(given[id(c)][0], "value", "x") == ""]


def test_every_user_error_has_a_fix():
    package = Path(contextune.__file__).parent
    files = [f for f in sorted(package.rglob("*.py")) if f != package / "core/errors.py"]  # joins those of others
    found = [f"{f.relative_to(package)}:{line}" for f in files for line in without_fix(ast.parse(f.read_text("utf-8")))]
    assert not found


def test_it_can_fail():
    assert without_fix(ast.parse("UserError('a')\nUserError('a', 'b')\nUserError('a', hint='')")) == [1, 3]
