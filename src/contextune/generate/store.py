"""What engines wrote, kept so that nothing is asked twice.

One SQLite file, one row a request, under a hash of everything that decides its answer. Each answer is
committed as it arrives, so a killed run loses only what was still being written. Several processes
may write at once; where two answer the same request, the first answer stays and both use it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ..errors import UserError
from .base import Engine, Failure, Request

VERSION = 1
_TABLE = """
CREATE TABLE answers (
  key TEXT PRIMARY KEY, text TEXT, reason TEXT, attempts INTEGER NOT NULL,
  engine TEXT NOT NULL, operation TEXT NOT NULL, source TEXT NOT NULL, prompt TEXT NOT NULL,
  sampling TEXT NOT NULL, written REAL NOT NULL)
"""
_PUT = """
INSERT INTO answers VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET text = excluded.text, reason = excluded.reason, source = excluded.source,
  written = excluded.written, attempts = attempts + 1
WHERE answers.text IS NULL
"""


class Store:
    """The file at `path`, made where there is none; in memory where `path` is None.

    Raises UserError where the file cannot be written or is not such a store.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        mend = "name a file in a folder that can be written to, or move what lies there"
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", timeout=60, isolation_level=None)
            self._open()
        except (sqlite3.Error, OSError) as e:
            raise UserError(f"{path}: cannot be used as the store of generated texts ({e})", mend) from None

    def _open(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")  # one process at a time looks and makes
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found != VERSION and (found or tables):
            self.close()
            what = f"a store of version {found}, expected {VERSION}" if found else "another program's database"
            raise UserError(f"{self.path}: {what}", "name another file")
        if not found:
            self._db.execute(_TABLE)
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("COMMIT")
        with suppress(sqlite3.OperationalError):  # locked while another process switches it; it stays so in the file
            self._db.execute("PRAGMA journal_mode = WAL")
        # A commit survives a killed process; syncing to disk at each would guard against power failure only.
        self._db.execute("PRAGMA synchronous = NORMAL")

    def get(self, keys: Iterable[str]) -> dict[str, str | Failure]:
        """What is kept under those of `keys` that were asked before."""
        wanted, found = list(dict.fromkeys(keys)), dict[str, str | Failure]()
        for i in range(0, len(wanted), 500):  # SQLite limits the variables of a statement
            part = wanted[i : i + 500]
            query = f"SELECT key, text, reason FROM answers WHERE key IN ({','.join('?' * len(part))})"
            for key, text, reason in self._db.execute(query, part):
                found[key] = text if text is not None else Failure(reason)
        return found

    def put(self, request: Request, identity: str, answer: str | Failure) -> None:
        """Keeps an answer, or a failure where there is no answer yet."""
        text, reason = (None, answer.reason) if isinstance(answer, Failure) else (answer, None)
        sampling = {name: getattr(request, name) for name in ("max_tokens", "temperature", "seed", "stop")}
        key, origin = request.key(identity), (identity, request.operation, request.source)
        row = (key, text, reason, *origin, request.prompt, json.dumps(sampling), time.time())
        try:
            self._db.execute(_PUT, row)
        except sqlite3.Error as e:
            raise UserError(f"{self.path}: an answer cannot be kept ({e})", "free some space, then run again") from None

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def ask(
    engine: Engine, requests: Sequence[Request], store: Store, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """The answers in the order of `requests`; only those that the store lacks are asked of the engine.

    `progress` is told (answered, in all), counting distinct requests. Raises UserError at the end, when
    all else is kept, where requests failed.
    """
    identity = engine.identity
    keys = [r.key(identity) for r in requests]
    distinct = dict(zip(reversed(keys), reversed(requests), strict=True))  # of equal ones the first
    kept = {k for k, answer in store.get(keys).items() if isinstance(answer, str)}
    missing = [distinct[k] for k in dict.fromkeys(keys) if k not in kept]
    unanswered, done = {*range(len(missing))}, len(kept)
    for place, answer in engine.complete(missing) if missing else ():
        store.put(missing[place], identity, answer)
        unanswered.discard(place)
        done += isinstance(answer, str)
        if progress is not None:
            progress(done, len(distinct))
    for place in sorted(unanswered):
        store.put(missing[place], identity, Failure("the engine gave no answer"))
    answers = store.get(keys)  # read back: another process may have been first
    _refuse_failures({k: distinct[k] for k in dict.fromkeys(keys)}, answers)
    return [str(answers[k]) for k in keys]


def _refuse_failures(requests: dict[str, Request], answers: dict[str, str | Failure]) -> None:
    failed = [(r, a.reason) for k, r in requests.items() if isinstance(a := answers[k], Failure)]
    if not failed:
        return
    lines = [f"  {r.source or repr(r.prompt)[:60]}: {reason}" for r, reason in failed[:10]]
    more = [f"  and {len(failed) - 10} more"] if len(failed) > 10 else []
    raise UserError(
        "\n".join([f"{len(failed)} of {len(requests)} requests have no answer:", *lines, *more]),
        "run again: what was answered is kept, and only these are asked anew",
    )
