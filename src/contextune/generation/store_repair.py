"""A damaged store: what can still be read of it is brought into a new one.

SQLite finds a damaged page, not a flipped letter within an answer; against that each row has a checksum (store.py).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from contextune.core.files import sync

LEAST = 64
"""Bytes of a row, at least: bounds how many there can be where the last one cannot be found."""


def fault(db: sqlite3.Connection) -> str:
    """What SQLite finds wrong with a file, its indexes included; "" where all is well."""
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if found == "ok" else str(found)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The answers in a store, one by one, but for those on damaged pages."""
    with closing(sqlite3.connect(path, timeout=60)) as db:
        db.text_factory = lenient
        db.execute("PRAGMA writable_schema = ON")  # reads a file that is shorter than it says
        last = path.stat().st_size // LEAST
        with suppress(sqlite3.Error):
            last = db.execute("SELECT max(rowid) FROM answers").fetchone()[0] or 0
        for number in range(1, last + 1):
            with suppress(sqlite3.Error):
                found = db.execute("SELECT * FROM answers WHERE rowid = ?", (number,))
                if (row := found.fetchone()) is not None:
                    yield dict(zip([column[0] for column in found.description], row, strict=True))


def lenient(raw: bytes) -> str:
    """Text of a column: what is no UTF-8 will not have its checksum."""
    return raw.decode("utf-8", "replace")


def put_in_place(new: Path, path: Path) -> Path:
    """Move a new store to `path`; where the damaged one is kept."""
    kept = path.with_name(path.name + ".damaged")
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    with suppress(FileNotFoundError):  # never beside the new one, which it would damage
        os.replace(beside(path, "wal"), beside(kept, "wal"))
    beside(path, "shm").unlink(missing_ok=True)
    sync(new)
    os.replace(new, path)
    sync(path.parent)
    return kept


def beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}-{what}")
