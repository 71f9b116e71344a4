"""What engines wrote, kept so that nothing is asked twice.

One SQLite file, one row a request, under a hash of everything that decides its answer. Each answer is
committed as it arrives, so a killed run loses only what was still being written. Several processes may
write at once: who asks a request claims it first, and the others wait for its answer (claims.py).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from contextune.core.errors import UserError

from .leases import CLAIMS, Claims
from .protocol import Cost, Engine, Failure, Request

VERSION = 2
_TABLE = """
CREATE TABLE answers (
  key TEXT PRIMARY KEY, text TEXT, reason TEXT, attempts INTEGER NOT NULL,
  engine TEXT NOT NULL, operation TEXT NOT NULL, source TEXT NOT NULL, prompt TEXT NOT NULL,
  sampling TEXT NOT NULL, written REAL NOT NULL,
  name TEXT NOT NULL DEFAULT '', read INTEGER, wrote INTEGER, seconds REAL)
"""
_FROM_1 = (
    "ALTER TABLE answers ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    *(f"ALTER TABLE answers ADD COLUMN {column}" for column in ("read INTEGER", "wrote INTEGER", "seconds REAL")),
)
_PUT = """
INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET text = excluded.text, reason = excluded.reason, source = excluded.source,
  written = excluded.written, name = excluded.name, attempts = attempts + excluded.attempts,
  read = coalesce(read + excluded.read, excluded.read, read),
  wrote = coalesce(wrote + excluded.wrote, excluded.wrote, wrote),
  seconds = coalesce(seconds + excluded.seconds, excluded.seconds, seconds)
WHERE answers.text IS NULL
"""  # what failed attempts cost is added up
_SAMPLING = ("max_tokens", "temperature", "seed", "stop", "schema", "cut")


class Store:
    """The file at `path`, made where there is none; in memory where `path` is None.

    Raises UserError where the file cannot be written or is not such a store. A store of an older version is
    brought up to this one, with all its answers.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        fix = "name a file in a folder that can be written to, or move what lies there"
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", timeout=60, isolation_level=None)
            self._open()
        except (sqlite3.Error, OSError) as e:
            raise UserError(f"{path}: cannot be used as the store of generated texts ({e})", fix) from None
        self.claims = Claims(self._db)

    def _open(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")  # one process at a time looks and makes
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found not in (0, 1, VERSION) or (tables and not found):
            self._db.close()
            what = f"a store of version {found}, expected {VERSION}" if found else "another program's database"
            raise UserError(f"{self.path}: {what}", "name another file")
        if found != VERSION:
            for statement in (*(_FROM_1 if found else (_TABLE,)), CLAIMS, f"PRAGMA user_version = {VERSION}"):
                self._db.execute(statement)
        self._db.execute("COMMIT")
        with suppress(sqlite3.OperationalError):  # locked while another process switches it; it stays so in the file
            self._db.execute("PRAGMA journal_mode = WAL")
        # A commit survives a killed process; syncing to disk at each would guard against power failure only.
        self._db.execute("PRAGMA synchronous = NORMAL")

    def get(self, keys: Iterable[str]) -> dict[str, str | Failure]:
        """What is kept under those of `keys` that were asked before."""
        rows = self._rows("SELECT key, text, reason FROM answers", keys)
        return {key: text if text is not None else Failure(reason) for key, text, reason in rows}

    def settled(self, keys: Iterable[str], began: float) -> set[str]:
        """Those of `keys` that are answered, or have failed since the time `began`."""
        rows = self._rows("SELECT key, text IS NOT NULL OR written >= ? FROM answers", keys, began)
        return {key for key, settled in rows if settled}

    def claim(self, keys: Seq[str], began: float) -> set[str]:
        """Those of `keys` that are this store's to ask from now on (claims.py)."""
        try:
            return self.claims.take(keys, began)
        except sqlite3.Error as e:
            raise UserError(f"{self.path}: cannot be written ({e})", "free some space, then run again") from None

    def _rows(self, query: str, keys: Iterable[str], *values: object) -> Iterator[tuple[Any, ...]]:
        wanted = list(dict.fromkeys(keys))
        for i in range(0, len(wanted), 500):  # SQLite limits the variables of a statement
            part = wanted[i : i + 500]
            yield from self._db.execute(f"{query} WHERE key IN ({','.join('?' * len(part))})", (*values, *part))

    def put(self, request: Request, engine: Engine | str, answer: str | Failure) -> None:
        """Keeps an answer, or a failure where there is no answer yet, and gives up the claim on it.

        `engine` is what answered, or its identity. The first answer stays.
        """
        identity, name = (engine, "") if isinstance(engine, str) else (engine.identity, getattr(engine, "name", ""))
        failed = isinstance(answer, Failure)
        text, reason = (None, answer.reason) if isinstance(answer, Failure) else (str(answer), None)
        attempts = int(not (isinstance(answer, Failure) and not answer.asked))
        sampling = {name: value for name in _SAMPLING if (value := getattr(request, name)) or name in _SAMPLING[:4]}
        key, origin = request.key(identity), (identity, request.operation, request.source)
        cost: Cost = getattr(answer, "cost", Cost())
        row = (key, text, reason, attempts, *origin, request.prompt, json.dumps(sampling), time.time(), name)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(_PUT, (*row, cost.read, cost.wrote, cost.seconds))
            self.claims.give_up([key])
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            kept = "a failure" if failed else "an answer"
            raise UserError(f"{self.path}: {kept} cannot be kept ({e})", "free some space, then run again") from None

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.claims.give_up()
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
