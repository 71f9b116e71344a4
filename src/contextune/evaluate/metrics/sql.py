"""SQL answers judged by what they return from a database file: execution accuracy.

A query may read and nothing else; it has a time limit. Results are compared as multisets of rows, in order only where
the gold query orders them at its top level. Whatever fails is wrong, and the reason is kept.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence as Seq
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from contextune.core import registry
from contextune.core.items import Item, Task

from .metric import Grade, ItemMetric, Metric, Outcomes, graded

if TYPE_CHECKING:
    from .metric import Estimator

SECONDS = 10.0
"""What a query may take."""
ROWS = 100_000
"""Rows it may return, and the bytes that one value may have are a hundred times as many."""
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
_HIDDEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)

SqlRow = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows, or why there are none."""

    rows: tuple[SqlRow, ...] = ()
    failed: str = ""


def execute(database: Path, query: str, seconds: float = SECONDS) -> QueryResult:
    """What a query returns. The file is opened for reading; other files cannot be reached."""
    if not database.is_file():
        return QueryResult(failed=f"no such database: {database}")
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100 * ROWS)
            connection.set_authorizer(lambda action, *_: 0 if action in _ALLOWED else 1)
            end = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            rows = connection.execute(query).fetchmany(ROWS + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError) as e:
        said = str(e)
        return QueryResult(failed=f"longer than {seconds:g} s" if said == "interrupted" else said)
    if len(rows) > ROWS:
        return QueryResult(failed=f"more than {ROWS:,} rows")
    return QueryResult(tuple(tuple(map(_plain, row)) for row in rows))


def _plain(value: object) -> object:
    """Sums of floats differ in their last digits by the order of the rows."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def judge(database: Path, output: str, gold: str, seconds: float = SECONDS) -> str:
    """Why the output is wrong; empty where it returns what the gold query returns."""
    right = _gold(database, gold, seconds)
    if right.failed:
        return f"the gold query fails: {right.failed}"
    said = execute(database, output, seconds)
    if said.failed:
        return said.failed
    if said.rows == right.rows or (not ordered(gold) and Counter(said.rows) == Counter(right.rows)):
        return ""
    if Counter(said.rows) == Counter(right.rows):
        return "the right rows in another order"
    return f"other rows: {len(said.rows)}, expected {len(right.rows)}"


@lru_cache(maxsize=4096)
def _gold(database: Path, query: str, seconds: float) -> QueryResult:
    return execute(database, query, seconds)


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
    pieces = re.findall(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|[\w.]+|[<>!=]=|<>|[^\w\s]", bare)
    return " ".join(pieces).rstrip("; ")


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
            why = judge(Path(item.fields["database"]), output, item.gold)
            made.append(Grade(output.strip() if why else item.gold, float(not why), {"reason": why} if why else {}))
        return made
