"""What a person decided in a page: JSON Lines that the page gives and the next run honours; later lines overrule."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from .errors import UserError, nearest, shown, together
from .files import digest
from .reading import json_lines

FILE = "decisions.jsonl"
LIMIT = 2**26
"""Bytes of such a file."""


def read(
    file: Path, keys: Collection[str], kinds: Seq[str], check: Callable[[dict[str, Any], str], None] | None = None
) -> list[dict[str, Any]]:
    """The decisions of a file, none where there is no file. UserError names every line that is none.

    `keys` may stand in a line beside `id` and `decision`, one of `kinds`; `check(decision, where)` raises for more.
    """
    made, bad = list[dict[str, Any]](), list[UserError]()
    if not file.exists():
        return made
    for number, line in enumerate(json_lines(file, "a file of decisions", LIMIT), 1):
        if line.strip():
            where = f"{file}:{number}"
            try:
                said = _checked(line, where, ("id", "decision", *keys), kinds)
                if check is not None:
                    check(said, where)
                made.append(said)
            except UserError as e:
                bad.append(e)
    if bad:
        raise together(bad)
    return made


def _checked(line: str, where: str, keys: Collection[str], kinds: Seq[str]) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: not valid JSON", 'one decision a line: {"id": …, "decision": "reject"}') from None
    if not isinstance(said, dict):
        raise UserError(f"{where}: expected an object, found {shown(said)}", '{"id": …, "decision": "reject"}')
    for key in said:
        if key not in keys:
            raise UserError(f"{where}: unknown key '{key}'", nearest(key, keys))
    if not isinstance(said.get("id"), str) or not said["id"]:
        raise UserError(f"{where}: id: expected an item's id, found {shown(said.get('id'))}", "copy it from the page")
    if said.get("decision") not in kinds:
        expected = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
        raise UserError(f"{where}: decision: found {shown(said.get('decision'))}", expected)
    return said


def sum_of(*texts: str) -> str:
    """What tells a text from another that has its id in another run."""
    return digest(list(texts))[:12]
