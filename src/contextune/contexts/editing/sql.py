"""Literals of SQL queries: what they are compared with, how an input speaks of them; and whether a query runs."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Sequence as Seq
from contextlib import closing
from pathlib import Path
from typing import Any

from .spans import Kind, Value, digits, spots

COMPARED = {"EQ": "=", "NEQ": "=", "In": "=", "GT": "<", "GTE": "<", "LT": "<", "LTE": "<", "Like": "like", "Is": ""}
MEANS = r"\b(?:refers? to|stands? for|means|represents|denotes)"
DEFINED = re.compile(rf"(?:[=<>]|{MEANS}|\b(?:like|in|between)(?=\s*['\"`(]))\s*\(?[\s'\"`]*$", re.IGNORECASE)
DEFINES = re.compile(rf"['\"`]\s*(?:{MEANS}|is|are)\b", re.IGNORECASE)
ENCODED = re.compile(rf"[^;,.()\n]*?{MEANS}([^;\n]*=[^;\n]*)", re.IGNORECASE)
"""How a text says what a literal stands for (what an encoded value means): such a literal cannot become another."""
SECONDS = 5.0
"""What a query may take."""


def literals(query: str) -> list[Value] | None:
    """Literals that are compared with a column or an expression of one, and the number of a LIMIT; None: no SQL.

    A kind is the column with its table and the comparison: ("sql", "city.state", "="). Literals of other places have
    the kind ("sql",), which nothing may replace.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        parsed = sqlglot.parse(query, read="sqlite")
        tokens = sqlglot.tokenize(query, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    if len([p for p in parsed if p is not None]) != 1 or isinstance(parsed[0], exp.Command) or parsed[0] is None:
        return None
    tables = {t.alias_or_name.lower(): t.name.lower() for t in parsed[0].find_all(exp.Table)}
    nodes = [n for n in parsed[0].find_all(exp.Literal)]
    kinds: dict[tuple[str, bool], set[tuple[str, ...]]] = {}
    for node in nodes:
        kinds.setdefault((node.name, node.is_string), set()).add(_kind(node, tables, exp))
    found = []
    for token in tokens:
        string = token.token_type.name == "STRING"
        if not string and token.token_type.name != "NUMBER":
            continue
        of = kinds.get((token.text, string), set())
        kind = next(iter(of)) if len(of) == 1 else ("sql",)
        start, end = token.start, token.end + 1
        if string:
            start, end = start + 1, end - 1
        inner = query[start:end]
        if kind[-1] == "like":
            bare = inner.strip("%")
            start += len(inner) - len(inner.lstrip("%"))
            end, inner = start + len(bare), bare
        if inner and "'" not in inner and not re.search("[%_]", inner):
            found.append(Value(start, end, inner, kind))
    return found


def _kind(node: Any, tables: dict[str, str], exp: Any) -> tuple[str, ...]:
    parent = node.parent
    if isinstance(parent, exp.Limit):
        return "sql", "limit"
    by = COMPARED.get(type(parent).__name__, "")
    other = parent.this if parent is not None and parent.this is not node else getattr(parent, "expression", None)
    if not by or other is None or not any(other.find_all(exp.Column)):
        return ("sql",)
    other = other.copy()
    for column in [other, *other.find_all(exp.Column)]:
        if isinstance(column, exp.Column):
            name = tables.get(column.table.lower(), column.table.lower())
            if not name and len(set(tables.values())) == 1:
                name = next(iter(tables.values()))
            column.set("table", exp.to_identifier(name) if name else None)
    return "sql", "text" if node.is_string else "number", other.sql(dialect="sqlite").lower().replace('"', ""), by


def runs(database: Path, query: str) -> bool:
    """Whether a query can be read from a database, which is opened for reading only."""
    allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.set_authorizer(lambda action, *_: 0 if action in allowed else 1)
            end = time.monotonic() + SECONDS
            connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            connection.execute(query).fetchone()
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return False
    return True


def stated(input: str, value: str, form: str) -> list[int]:
    """Where an input has a value; for SQL, as it is or in small letters."""
    at = spots(input, value, any_case=form == "sql")
    return at if all(input[i : i + len(value)] in (value, value.lower()) for i in at) else []


def look_of(literal: str) -> str:
    """Digits and capitals of codes; words are all alike, and so are numbers."""
    if re.fullmatch(r"\d+(?:\.\d+)?", literal) and digits(literal) != "year":
        return "decimal" if "." in literal else "number"
    return (
        re.sub("[a-z]+", "a", re.sub("[A-Z]+", "A", re.sub(r"\d", "9", literal)))
        if re.search(r"\d", literal)
        else "words"
    )


def spoken(input: str, at: Seq[int], value: str, kind: Kind) -> bool:
    """Whether a literal is spoken of somewhere, and not only said to be what something is encoded as."""
    if "text" in kind and sum(c.isalpha() for c in value) < 3 and not any(c.isdigit() for c in value):
        return False
    for i in at:
        before, after = input[:i], input[i + len(value) :]
        told = ENCODED.match(after)
        if told and value.casefold() not in told[1].casefold():
            return False
    for i in at:
        before, after = input[:i], input[i + len(value) :]
        if not DEFINED.search(before[-40:]) and not DEFINES.match(after):
            return True
    return False
