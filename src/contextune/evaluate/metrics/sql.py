"""SQL answers judged by what they return from a database file: execution accuracy.

A query may read one file and nothing else. A process of its own answers it (`sqlite_child`), which is ended when the
time is up, and what it may hold and return is bounded. Results are compared as multisets of rows, in order only where
the gold query orders them at its top level. Whatever fails is wrong, and the reason is kept; so is an answer without a
query.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import marshal
import re
import subprocess
import sys
import threading
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.items import Item, Task

from . import sqlite_child
from .metric import Grade, ItemMetric, Metric, Outcomes, graded

if TYPE_CHECKING:
    from .metric import Estimator

SECONDS = 10.0
"""What a query may take."""
GRACE = 1.0
"""Seconds after which a query that has not ended by itself is ended from outside."""
_HIDDEN = re.compile(  # a quote or comment without an end reaches to the end of the text
    r"'(?:[^']++|'')*+(?:'|\Z)|\"(?:[^\"]++|\"\")*+(?:\"|\Z)|`[^`]*+(?:`|\Z)"
    r"|--[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)"
)
_PIECES = re.compile(
    r"'(?:[^']++|'')*+(?:'|\Z)|\"(?:[^\"]++|\"\")*+(?:\"|\Z)|`[^`]*+(?:`|\Z)|[\w.]+|[<>!=]=|<>|[^\w\s]"
)

SqlRow = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows, or why there are none."""

    rows: tuple[SqlRow, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Digest:
    """What is compared of a result: its rows in order, and in any order. `failed` says why there are none."""

    rows: int = 0
    ordered: bytes = b""
    unordered: bytes = b""
    failed: str = ""


class _Child:
    """The process that answers queries: started at need, ended with this one or amid a query that takes too long."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()
        atexit.register(self.end)

    def ask(self, database: Path, query: str, seconds: float) -> QueryResult:
        request = {"database": database.resolve().as_uri(), "query": query, "seconds": seconds}
        with self.lock:
            process = self.process = self._running()
            timer = threading.Timer(seconds + GRACE, process.kill)
            timer.daemon = True
            timer.start()
            try:
                found = self._exchange(process, json.dumps(request).encode() + b"\n")
            except BaseException:
                self.end()
                raise
            finally:
                timer.cancel()
            if found is None:
                self.end()
                return QueryResult(failed=f"longer than {seconds:g} s")
        failed, rows = found
        return QueryResult(tuple(rows), failed)

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], request: bytes) -> sqlite_child.Result | None:
        """The answer to a request; None where the process has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
        except OSError:
            return None
        size = process.stdout.read(8)
        answer = process.stdout.read(int.from_bytes(size, "big")) if len(size) == 8 else b""
        try:
            return marshal.loads(answer)  # type: ignore[no-any-return]  # by our own process
        except (EOFError, ValueError):
            return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        command = [sys.executable, "-I", "-S", sqlite_child.__file__]
        quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet)
        assert process.stdout is not None
        if process.stdout.read(1) != b"+":
            process.kill()
            raise UserError(f"{sys.executable}: cannot run SQLite", "its module sqlite3 is needed to judge queries")
        return process

    def end(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.communicate()


_child = _Child()


def execute(database: Path, query: str, seconds: float = SECONDS) -> QueryResult:
    """What a query returns. The file is opened for reading and never locked; other files cannot be reached.

    Raises UserError where changes to the file lie beside it, which a reader that locks nothing does not see.
    """
    if not database.is_file():
        return QueryResult(failed=f"no such database: {database}")
    for beside in (Path(f"{database}-wal"), Path(f"{database}-journal")):
        if beside.is_file() and beside.stat().st_size:
            raise UserError(
                f"{database}: changes that are not in it yet lie in {beside.name}",
                "close the program that writes it, or copy the database with VACUUM INTO",
            )
    return _child.ask(database, query, seconds)


def judge(database: Path, output: str, gold: str, seconds: float = SECONDS) -> str:
    """Why the output is wrong; empty where it returns what the gold query returns."""
    right = gold_of(database, gold, seconds)
    if right.failed:
        return f"the gold query fails: {right.failed}"
    said = _digest(execute(database, output, seconds))
    if said.failed:
        return said.failed
    if said.ordered == right.ordered or (not ordered(gold) and said.unordered == right.unordered):
        return ""
    if said.unordered == right.unordered:
        return "the right rows in another order"
    return f"other rows: {said.rows}, expected {right.rows}"


def gold_of(database: Path, query: str, seconds: float = SECONDS) -> Digest:
    """What a gold query returns; asked once as long as the file stays as it is."""
    state = database.stat() if database.is_file() else None
    return _gold(database, query, seconds, state and (state.st_mtime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=4096)
def _gold(database: Path, query: str, seconds: float, state: object) -> Digest:
    return _digest(execute(database, query, seconds))


def _digest(result: QueryResult) -> Digest:
    """Rows that Python holds for equal have equal digests: 1 is 1.0."""
    rows = [hashlib.blake2b(repr([*map(_same, row)]).encode(), digest_size=16).digest() for row in result.rows]
    whole, sorted_ = (hashlib.sha256(b"".join(r)).digest() for r in (rows, sorted(rows)))
    return Digest(len(rows), whole, sorted_, result.failed)


def _same(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def ordered(query: str) -> bool:
    """Whether the query's own rows are ordered, not just those of one inside it."""
    depth, outside = 0, []
    for character in _HIDDEN.sub(" ", query):
        depth += (character == "(") - (character == ")")
        outside.append(character if depth == 0 else " ")
    return re.search(r"\border\s+by\b", "".join(outside), re.IGNORECASE) is not None


def normal(query: str) -> str:
    """One spelling: names in lower case, single spaces, no semicolon; what stands in quotes stays."""
    parts, at = [], 0
    for quoted in _HIDDEN.finditer(query):
        parts += [query[at : quoted.start()].lower(), quoted[0] if quoted[0][0] in "'\"`" else " "]
        at = quoted.end()
    bare = "".join([*parts, query[at:].lower()])
    return " ".join(_PIECES.findall(bare)).rstrip("; ")


def refuse_gold(database: Path, item: Item, where: str) -> int:
    """The rows that an item's gold query returns. UserError where it fails: it would count against every model."""
    right = gold_of(database, item.gold)
    if right.failed:
        raise UserError(f"{where}: item {item.id}: the gold query fails: {right.failed}", "fix it or remove the row")
    return right.rows


@registry.metrics("sql_match")
class SqlMatch(ItemMetric):
    """The query is the gold one but for case and white space."""

    special: ClassVar[bool] = True

    def worth(self, output: str, gold: str) -> float:
        return float(normal(output) == normal(gold))


@registry.metrics("execution")
class Execution(Metric):
    """The query returns what the gold one returns from the item's database."""

    special: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    beside: ClassVar[tuple[str, ...]] = ("sql_match",)

    def of(self, outcomes: Outcomes) -> Estimator:
        return graded(outcomes)

    def grade(self, task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
        made = []
        for item, output in zip(items, outputs, strict=True):
            refuse_gold(Path(item.fields["database"]), item, f"task {task.name}")
            why = judge(Path(item.fields["database"]), output, item.gold)
            made.append(Grade(output.strip() if why else item.gold, float(not why), {"reason": why} if why else {}))
        return made
