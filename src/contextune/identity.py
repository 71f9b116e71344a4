"""What a trained stage is: the parts that decide its weights.

Equal parts: go on. Different ones in the same folder: an error that names them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError

Parts = Mapping[str, Any]


def digest(value: object) -> str:
    """Hex hash of any JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def changed(old: object, new: object, at: str = "") -> list[str]:
    """Dotted keys in which two nested values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [d for k in keys for d in changed(old.get(k), new.get(k), f"{at}.{k}" if at else str(k))]
    return [] if json.loads(json.dumps(old, default=str)) == json.loads(json.dumps(new, default=str)) else [at]


def begun(folder: Path, parts: Parts, name: str) -> bool:
    """Whether a stage of this identity was begun in the folder.

    Raises UserError, naming the changed keys, where another one stands there.
    """
    file = folder / "identity.json"
    if not file.exists():
        return False
    differ = changed(json.loads(file.read_text()), json.loads(json.dumps(parts, default=str)))
    if differ:
        shown = ", ".join(differ[:6]) + (f" and {len(differ) - 6} more" if len(differ) > 6 else "")
        raise UserError(
            f"{folder}: {name} was begun with another recipe or other data; changed: {shown}",
            "give the run another folder with output=FOLDER, or start over with --fresh",
        )
    return True


def begin(folder: Path, parts: Parts) -> None:
    """Mark a folder as that of a stage."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "identity.json", json.loads(json.dumps(parts, default=str)))


def write_json(file: Path, value: object) -> None:
    """Written beside its place and moved there, so that a kill leaves the old file or the new one."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
    os.replace(part, file)
