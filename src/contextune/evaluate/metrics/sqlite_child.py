"""Answers one query after another, as a process of its own that can be ended amid a query.

A request is a line of JSON, {database, query, seconds}; an answer is marshal's bytes of (why it failed, rows) after
their length in eight bytes. Needs the standard library alone, so that it starts in a moment; `metrics.sql` starts it.
"""

from __future__ import annotations

import json
import marshal
import signal
import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

MIB = 2**20
ROWS = 100_000
"""Rows that a query may return."""
VALUE = 10_000_000
"""Bytes that one value, or the query itself, may have."""
RESULT = 32 * MIB
"""Bytes that all rows together may have."""
HEAP = 512 * MIB
"""Bytes that SQLite may hold at once; sorting and temporary tables are kept in memory, no file is written."""
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
_REFUSED = ("load_extension", "fts3_tokenizer", "random", "randomblob")
"""Functions that reach outside, or would give another answer the next time."""

Result = tuple[str, list[tuple[object, ...]]]


def answer(database: str, query: str, seconds: float) -> Result:
    """Why a query fails (empty where it does not), and its rows. Nothing is locked, and nothing written."""
    try:
        with closing(sqlite3.connect(f"{database}?mode=ro&immutable=1", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.execute(f"PRAGMA hard_heap_limit = {HEAP}")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE)
            connection.set_authorizer(_may)
            end = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            cursor = connection.execute(query)
            if cursor.description is None:
                return "no query", []
            return _taken(cursor)
    except MemoryError:
        return f"more than {HEAP // MIB:,} MiB of memory", []
    except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError) as e:
        said = str(e)
        return (f"longer than {seconds:g} s" if said == "interrupted" else said), []


def _may(action: int, first: str | None, second: str | None, *_: Any) -> int:
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in _REFUSED):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _taken(cursor: Iterable[tuple[object, ...]]) -> Result:
    rows: list[tuple[object, ...]] = []
    size = 0
    for row in cursor:
        size += sum(len(v) if isinstance(v, str | bytes) else 8 for v in row)
        if len(rows) == ROWS:
            return f"more than {ROWS:,} rows", []
        if size > RESULT:
            return f"more than {RESULT // MIB} MiB of rows", []
        rows.append(tuple(map(_plain, row)))
    return "", rows


def _plain(value: object) -> object:
    """Sums of floats differ in their last digits by the order of the rows."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    out = sys.stdout.buffer
    out.write(b"+")
    out.flush()
    alarm = getattr(signal, "alarm", lambda seconds: None)  # ends the process also where nobody is left to do it
    for line in sys.stdin.buffer:
        request = json.loads(line)
        alarm(int(request["seconds"]) + 5)
        found = marshal.dumps(answer(**request))
        alarm(0)
        out.write(len(found).to_bytes(8, "big") + found)
        out.flush()


if __name__ == "__main__":
    serve()
