"""Who is asking what just now, so that two processes with the same list do not both pay for it.

A claim is a row (key, owner, since). An owner is a store that is open in a process; where that process is gone
its claims are anybody's. Another machine's processes cannot be looked at: their claims hold for LEASE seconds
after the last sign of life.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress

from contextune.core.files import digest

LEASE = 1800.0
"""Seconds after which a silent claim of another machine is void."""
_BEAT = 60.0
CLAIMS = "CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, since REAL NOT NULL)"
_CLAIM = """
INSERT INTO claims SELECT ?1, ?2, ?3
WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?1 AND (text IS NOT NULL OR written >= ?4))
ON CONFLICT (key) DO NOTHING
"""


class Claims:
    """The claims of one open store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._beat = db, time.time()
        parts = (platform.node(), str(os.getpid()), str(_born(os.getpid()) or 0.0), uuid.uuid4().hex)
        self.owner = "|".join((*parts, digest(parts)))

    def take(self, keys: Sequence[str], began: float) -> set[str]:
        """Those of `keys` that are now this store's to ask.

        Not those that have an answer, that another owner is asking, or that have failed since the time `began`
        (another process has just tried: its failure is the answer).
        """
        now = time.time()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(_CLAIM, ((key, self.owner, now, began) for key in keys))
            mine = {key for (key,) in self._db.execute("SELECT key FROM claims WHERE owner = ?", (self.owner,))}
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        return mine & {*keys}

    def give_up(self, keys: Iterable[str] | None = None) -> None:
        """No longer claimed by this store (all of its claims where no key is given); the other ones live on."""
        if keys is None:
            self._db.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
            return
        self._db.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", ((key, self.owner) for key in keys))
        if time.time() - self._beat > _BEAT:
            self._beat = time.time()
            self._db.execute("UPDATE claims SET since = ? WHERE owner = ?", (self._beat, self.owner))

    def clear(self) -> int:
        """Removes the claims of owners that are gone; how many there were."""
        owners = self._db.execute("SELECT owner, max(since) FROM claims GROUP BY owner").fetchall()
        gone = [(owner,) for owner, since in owners if owner != self.owner and not alive(owner, since)]
        return self._db.executemany("DELETE FROM claims WHERE owner = ?", gone).rowcount if gone else 0


def alive(owner: str, since: float) -> bool:
    """Whether an owner may still be asking; one whose name is damaged is not."""
    try:
        node, pid, born, _, *check = owner.split("|")
        if check and check != [digest(owner.split("|")[:4])]:
            return False
        if node != platform.node():
            return abs(time.time() - since) < LEASE
        found = _born(int(pid))
        return found is not None and abs(found - float(born)) < 10  # a clock may be set meanwhile
    except ValueError:
        return False


def _born(pid: int) -> float | None:
    """When the process of that number began, None where there is none: a number alone may be used again."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None
