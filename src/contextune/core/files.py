"""Files that are either whole or unchanged, and hashes of plain values."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path


def digest(value: object) -> str:
    """Hex hash (blake2b, 128 bits) of any JSON-like value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write_json(file: Path, value: object) -> None:
    """Write a value beside its place and move it there, so that a kill leaves the old file or the new one."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
    os.replace(part, file)
