"""The fingerprint of a stage: the parts that decide its weights.

Equal parts: resume. Different ones in the same folder: an error that names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from contextune.core.errors import UserError
from contextune.core.files import write_json

Parts = Mapping[str, Any]
FILE = "identity.json"
FORMAT = 2
"""Raised when the parts are named otherwise, so that a folder of an earlier version is told from another recipe."""


def changed(old: object, new: object, at: str = "") -> list[str]:
    """Dotted keys in which two nested values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [d for k in keys for d in changed(old.get(k), new.get(k), f"{at}.{k}" if at else str(k))]
    return [] if json.loads(json.dumps(old, default=str)) == json.loads(json.dumps(new, default=str)) else [at]


def read(folder: Path) -> dict[str, Any]:
    """The parts of the stage that was begun in a folder."""
    found: dict[str, Any] = json.loads((folder / FILE).read_text("utf-8"))
    return found


def begun(
    folder: Path,
    parts: Parts,
    name: str,
    may_change: Collection[str] = (),
    refuse: Callable[[Parts], None] | None = None,
) -> Literal["", "same", "changed"]:
    """Whether a stage of this fingerprint was begun in the folder, or one in which only keys of `may_change` differ.

    Raises UserError, naming the changed keys, where another one stands there; what changed in keys that may is left
    to `refuse`, which is given the parts in the folder.
    """
    if not (folder / FILE).exists():
        return ""
    old = read(folder)
    differ = changed(old, json.loads(json.dumps({**parts, "format": FORMAT}, default=str)))
    if differ and refuse is not None and set(differ) <= set(may_change):
        refuse(old)
        return "changed"
    if "format" in differ:
        raise UserError(
            f"{folder}: {name} was trained by an earlier version of Contextune, which cannot be resumed",
            "give the run another folder with output=FOLDER, or start over with --fresh",
        )
    if differ:
        shown = ", ".join(differ[:6]) + (f" and {len(differ) - 6} more" if len(differ) > 6 else "")
        raise UserError(
            f"{folder}: {name} was begun with another recipe or other data; changed: {shown}",
            "give the run another folder with output=FOLDER, or start over with --fresh",
        )
    return "same"


def begin(folder: Path, parts: Parts) -> None:
    """Mark a folder as that of a stage."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, json.loads(json.dumps({**parts, "format": FORMAT}, default=str)))
