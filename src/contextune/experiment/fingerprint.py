"""The fingerprint of a stage: the parts that decide its weights.

Equal parts: resume. Different ones in the same folder: an error that names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from contextune.core.errors import UserError
from contextune.core.files import Damaged, digest, read_sealed, sealed, write_sealed
from contextune.core.progress import say_once

Parts = Mapping[str, Any]
FILE = "identity.json"
FORMAT = 3
"""Raised when the parts are named otherwise, so that a folder of an earlier version is told from another recipe."""


def changed(old: object, new: object, at: str = "") -> list[str]:
    """Dotted keys in which two nested values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [d for k in keys for d in changed(old.get(k), new.get(k), f"{at}.{k}" if at else str(k))]
    return [] if json.loads(json.dumps(old, default=str)) == json.loads(json.dumps(new, default=str)) else [at]


NOTES = "notes"
"""What stands beside the parts and decides nothing: when the run began, and tokens at once."""


def key(parts: Parts) -> str:
    """A hash of the parts, which stands beside the checksums of what is trained."""
    return digest(json.loads(json.dumps(parts, default=str)))


def read(folder: Path) -> dict[str, Any]:
    """The parts of the stage that was begun in a folder, with notes; empty where none was. Raises Damaged."""
    try:
        return read_sealed(folder / FILE) or {}
    except Damaged:
        found = read_sealed(folder / FILE, older=True)
        if found is None or found.get("format", 1) == FORMAT:
            raise
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
    try:
        old = read(folder)
    except Damaged:
        old = {}
    if not old:
        return _mended(folder, parts, name)
    old.pop(NOTES, None)
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


def _mended(folder: Path, parts: Parts, name: str) -> Literal["", "same"]:
    """Of a folder whose identity is damaged or gone: the checksums of what was trained know the stage too."""
    identities = set()
    for place in (folder, *folder.glob("checkpoint-*")):
        with suppress(Damaged):
            identities |= {made.get("identity") for made in [sealed(place)] if made}
    if key(parts) in identities:
        say_once(
            f"{folder / FILE} is damaged or gone: written anew, as the checksums of what was trained know the stage"
        )
        begin(folder, parts)
        return "same"
    if identities or (folder / "model").is_dir():
        raise UserError(
            f"{folder / FILE} is damaged or gone, and nothing else says that this is {name} of this recipe",
            "give the run another folder with output=FOLDER, or start over with --fresh",
        )
    return ""


def begin(folder: Path, parts: Parts, **notes: Any) -> None:
    """Mark a folder as that of a stage; `notes` decide nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sealed(folder / FILE, {**parts, "format": FORMAT, **({NOTES: notes} if notes else {})})


def notes(out: Path) -> dict[str, dict[str, Any]]:
    """What stands beside the parts of a run's stages, by "ARM/stage-K"; damaged ones are passed over."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(out.glob("arms/*/seed-*/stage-*")):
        with suppress(Damaged):
            if (said := read(folder).get(NOTES)) is not None:
                found[f"{folder.parts[-3]}/{folder.name}"] = said
    return found
