"""What a store holds: how much of it is answered, what failed and why, and where one answer came from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

from .leases import alive
from .store import Store
from .store_repair import lenient


def status(path: Path) -> dict[str, Any]:
    """Counts over all requests: answered, failed, asking (claimed by a live process), failed by reason, by operation.

    `tokens` sums what is known of tokens read and written, failed attempts included; `first` and `last` are times
    in seconds since 1970, None in an empty store. `failures` lists source, operation, reason and attempts of each.
    """
    with _opened(path) as db:
        rows = db.execute(
            "SELECT operation, count(text), count(*) - count(text), sum(read), sum(wrote) FROM answers "
            "GROUP BY operation ORDER BY operation"
        ).fetchall()
        reasons = db.execute("SELECT reason, count(*) AS n FROM answers WHERE text IS NULL GROUP BY reason ORDER BY -n")
        failures = db.execute(
            "SELECT key, source, operation, reason, attempts FROM answers WHERE text IS NULL ORDER BY written, key"
        )
        claims = db.execute("SELECT owner, count(*), max(since) FROM claims GROUP BY owner").fetchall()
        first, last = db.execute("SELECT min(written), max(written) FROM answers").fetchone()
        return {
            "answered": sum(r[1] for r in rows),
            "failed": sum(r[2] for r in rows),
            "asking": sum(n for owner, n, since in claims if alive(owner, since)),
            "reasons": {reason: n for reason, n in reasons},
            "operations": {r[0]: {"answered": r[1], "failed": r[2]} for r in rows},
            "tokens": {"read": sum(r[3] or 0 for r in rows), "wrote": sum(r[4] or 0 for r in rows)},
            "first": first,
            "last": last,
            "failures": [dict(row) for row in failures],
        }


def trace(path: Path, key: str) -> dict[str, Any]:
    """The whole row of a request: text or reason, source, operation, prompt, sampling, engine, cost, time.

    `key` may be a beginning that only one request has. Raises UserError where none or several have it.
    """
    with _opened(path) as db:
        pattern = "".join(c for c in key if c.isalnum()) + "*"
        rows = db.execute("SELECT * FROM answers WHERE key GLOB ? LIMIT 2", (pattern,)).fetchall()
    if len(rows) != 1 or not key:
        raise UserError(
            f"{path}: {'several requests have' if rows else 'no request has'} the key {key!r}",
            "give the key that a record's provenance names (`request`)",
        )
    return {**dict(rows[0]), "sampling": json.loads(rows[0]["sampling"])}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise UserError(f"{path}: there is no store of generated texts", "nothing was generated yet, or check the path")
    Store(path).close()  # an older one is brought up to date
    db = sqlite3.connect(path, timeout=60)
    db.row_factory, db.text_factory = sqlite3.Row, lenient
    try:
        yield db
    finally:
        db.close()
