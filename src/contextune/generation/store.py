"""What engines wrote, kept so that nothing is asked twice.

One SQLite file, one row a request, under a hash of everything that decides its answer. Each answer is
committed as it arrives, so a killed run loses only what was still being written. Several processes may
write at once: who asks a request claims it first, and the others wait for its answer (claims.py).

A power loss loses the answers of the last second at most. Damaged answers are asked again, and that is said.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import digest, sync
from contextune.core.progress import say_once

from . import store_repair
from .leases import CLAIMS, Claims
from .protocol import Cost, Engine, Failure, Request

VERSION = 3
_TABLE = """
CREATE TABLE answers (
  key TEXT PRIMARY KEY, text TEXT, reason TEXT, attempts INTEGER NOT NULL,
  engine TEXT NOT NULL, operation TEXT NOT NULL, source TEXT NOT NULL, prompt TEXT NOT NULL,
  sampling TEXT NOT NULL, written REAL NOT NULL,
  name TEXT NOT NULL DEFAULT '', read INTEGER, wrote INTEGER, seconds REAL,
  sum TEXT NOT NULL DEFAULT '')
"""
_FROM_1 = (
    "ALTER TABLE answers ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    *(f"ALTER TABLE answers ADD COLUMN {column}" for column in ("read INTEGER", "wrote INTEGER", "seconds REAL")),
)
_FROM_2 = ("ALTER TABLE answers ADD COLUMN sum TEXT NOT NULL DEFAULT ''",)
_UPGRADES: dict[int, tuple[str, ...]] = {0: (_TABLE, CLAIMS), 1: (*_FROM_1, CLAIMS, *_FROM_2), 2: _FROM_2}
_PUT = """
INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET text = excluded.text, reason = excluded.reason, source = excluded.source,
  written = excluded.written, name = excluded.name, attempts = attempts + excluded.attempts,
  read = coalesce(read + excluded.read, excluded.read, read),
  wrote = coalesce(wrote + excluded.wrote, excluded.wrote, wrote),
  seconds = coalesce(seconds + excluded.seconds, excluded.seconds, seconds), sum = excluded.sum
WHERE answers.text IS NULL
"""  # what failed attempts cost is added up
_PAUSE = 1.0
"""Seconds between two syncs to the disk, at least."""
_checked = set[tuple[str, int]]()
"""Files that this process has looked through."""
_SAMPLING = ("max_tokens", "temperature", "seed", "stop", "schema", "cut", "turns", "begin")


def _sum(key: str, text: str | None, reason: str | None) -> str:
    return digest([key, text, reason])


def _move(path: Path | None) -> str:
    return f"move {path} away (what is in it is then asked again), or name another file or output=FOLDER"


class Store:
    """The file at `path`, made where there is none; in memory where `path` is None.

    Raises UserError where the file cannot be written or is not such a store. A store of an older version is
    brought up to this one, with all its answers.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._synced = time.monotonic()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists() and not path.stat().st_size:
                    say_once(f"{path} is empty: what was asked before is asked again")
            self._open()
            if path is not None and (why := self._fault(path)):
                self._repair(path, why)
        except (sqlite3.Error, OSError) as e:
            raise UserError(f"{path}: cannot be used as the store of generated texts ({e})", _move(path)) from None
        self.claims = Claims(self._db)

    def _fault(self, path: Path) -> str:
        """Looked for once a process."""
        mark = (str(path.resolve()), path.stat().st_ino)
        if mark in _checked:
            return ""
        _checked.add(mark)
        try:
            return store_repair.fault(self._db)
        except sqlite3.DatabaseError as e:
            return str(e)

    def _repair(self, path: Path, why: str) -> None:
        """A new store with what can be read of a damaged one takes its place."""
        self._db.close()
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        new.unlink(missing_ok=True)
        saved = 0
        with Store(new) as store:
            columns = store._columns()
            for row in store_repair.rows(path):
                if row.get("sum") in (None, "", _sum(row["key"], row["text"], row["reason"])):
                    names = [name for name in row if name in columns]
                    with suppress(sqlite3.Error):
                        store._db.execute(
                            f"INSERT INTO answers ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                            [row[name] for name in names],
                        )
                        saved += 1
            store._db.execute("PRAGMA journal_mode = DELETE")
        kept = store_repair.put_in_place(new, path)
        say_once(
            f"{path} is damaged ({why.splitlines()[0]}): {saved} answers are saved from it, others are asked again; "
            f"the damaged file is kept as {kept.name}"
        )
        self._open()
        _checked.add((str(path.resolve()), path.stat().st_ino))

    def _columns(self) -> set[str]:
        return {row[1] for row in self._db.execute("PRAGMA table_info(answers)")}

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path or ":memory:", timeout=60, isolation_level=None)
        self._db.text_factory = store_repair.lenient
        try:
            self._prepare()
        except sqlite3.DatabaseError as e:
            self._db.close()
            if self.path is None or getattr(e, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            self._repair(self.path, str(e))

    def _prepare(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")  # one process at a time looks and makes
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found not in (*_UPGRADES, VERSION) or (tables and not found):
            self._db.close()
            what = f"a store of version {found}, expected {VERSION}" if found else "another program's database"
            raise UserError(f"{self.path}: {what}", _move(self.path))
        if found != VERSION:
            for statement in (*_UPGRADES[found], f"PRAGMA user_version = {VERSION}"):
                self._db.execute(statement)
        self._db.execute("COMMIT")
        with suppress(sqlite3.OperationalError):  # locked while another process switches it; it stays so in the file
            self._db.execute("PRAGMA journal_mode = WAL")
        # A commit survives a killed process; against a power loss the log is synced once a second (`_sync`).
        self._db.execute("PRAGMA synchronous = NORMAL")

    def get(self, keys: Iterable[str]) -> dict[str, str | Failure]:
        """What is kept under those of `keys` that were asked before."""
        rows = list(self._rows("SELECT key, text, reason, sum FROM answers", keys))
        damaged = {key for key, text, reason, said in rows if said not in ("", _sum(key, text, reason))}
        if damaged:
            say_once(f"{self.path}: {len(damaged)} answers are damaged, and asked again")
            self._db.executemany("DELETE FROM answers WHERE key = ?", ((key,) for key in damaged))
        kept = (row for row in rows if row[0] not in damaged)
        return {key: text if text is not None else Failure(reason) for key, text, reason, _ in kept}

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
            try:
                yield from self._db.execute(f"{query} WHERE key IN ({','.join('?' * len(part))})", (*values, *part))
            except sqlite3.DatabaseError as e:
                raise UserError(f"{self.path}: cannot be read ({e})", "run again: what can be read is kept") from None

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
            self._db.execute(_PUT, (*row, cost.read, cost.wrote, cost.seconds, _sum(key, text, reason)))
            self.claims.give_up([key])
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            kept = "a failure" if failed else "an answer"
            raise UserError(f"{self.path}: {kept} cannot be kept ({e})", "free some space, then run again") from None
        if time.monotonic() - self._synced > _PAUSE:
            self._sync()

    def _sync(self) -> None:
        """Have the disk hold what is committed."""
        self._synced = time.monotonic()
        if self.path is not None:
            with suppress(FileNotFoundError):
                sync(store_repair.beside(self.path, "wal"))

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.claims.give_up()
        self._sync()
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
