"""Readers: rows of JSON Lines, JSON, CSV, Parquet and text files, each with its place.

A row is the line in JSON Lines and CSV (where the row begins) and the position from 1 elsewhere, so that an
error leads to the place in an editor. A text file is one row. Blank lines are no rows.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError, first_line
from contextune.core.reading import DEPTH, depth

from . import hub
from .paths import DOCUMENTS, File, find
from .raw import LIMIT, WHOLE, Row, explained, lines, whole

if TYPE_CHECKING:
    from contextune.data.options import Source

__all__ = ["READERS", "Row", "rows"]


def rows(source: Source, folder: Path) -> Iterator[Row]:
    """The rows of a source's files in order, or of its hub dataset. Paths are relative to `folder`.

    Raises UserError with file and row where something cannot be read; a file without rows is an error.
    """
    files = find(source, folder).files if source.hub is None else ()
    return chain.from_iterable(parts(source, files))


def parts(source: Source, files: Iterable[File]) -> Iterator[Iterator[Row]]:
    """The rows of each of its files, or of its hub dataset; a file that cannot be read leaves the others."""
    if source.hub is not None:
        yield _some(hub.rows(source), source.hub)
    for file in files:
        yield _read(file)


def _read(file: File) -> Iterator[Row]:
    with explained(file):
        yield from _some(READERS[file.format](file), file.shown)


def _some(found: Iterator[Row], where: str) -> Iterator[Row]:
    empty = True
    for row in found:
        empty = False
        yield row
    if empty:
        raise UserError(f"{where}: empty, expected at least one row", "fill it, or leave it out of the source's path")


def _jsonl(file: File) -> Iterator[Row]:
    for number, line in lines(file):
        if not line.strip():
            continue
        where = f"{file.shown}:{number}"
        try:
            value = json.loads(line, object_pairs_hook=_object)
        except _Twice as e:
            raise _twice(where, e) from None
        except (ValueError, RecursionError) as e:
            hint = "each line is one complete object (is the file cut off?); an array of objects is format: json"
            raise UserError(f"{where}: not valid JSON ({_fault(e)})", hint) from None
        yield _row(value, where, f"{file.name}:{number}", "\\u" in line)


def _json(file: File) -> Iterator[Row]:
    """An array of objects, decoded one by one so that a fault has a row."""
    text, decoder, space = whole(file, WHOLE), json.JSONDecoder(object_pairs_hook=_object), re.compile(r"[ \t\r\n]*")

    def skip(at: int) -> int:
        found = space.match(text, at)
        return found.end() if found else at

    at, row = skip(0), 0
    if at == len(text):
        return
    if text[at] != "[":
        found = "an object" if text[at] == "{" else repr(text[at : at + 20])
        hint = "one object a line is format: jsonl"
        raise UserError(f"{file.shown}: expected an array of objects, found {found}", hint)
    at = skip(at + 1)
    more = text[at : at + 1] != "]"
    while more:
        row += 1
        where = f"{file.shown}:{row}"
        try:
            value, at = decoder.raw_decode(text, at)
        except _Twice as e:
            raise _twice(where, e) from None
        except (ValueError, RecursionError) as e:
            raise UserError(f"{where}: not valid JSON ({_fault(e)})", "is the file cut off?") from None
        yield _row(value, where, f"{file.name}:{row}", "\\u" in text)
        at = skip(at)
        mark = text[at : at + 1]
        if mark not in (",", "]"):
            raise UserError(f"{where}: expected ',' or ']' after it, found {mark or 'the end'}", "is the file cut off?")
        more, at = mark == ",", skip(at + 1)
    if row and at < len(text):
        raise UserError(f"{file.shown}: text after the end of the array", "one object a line is format: jsonl")


class _Twice(ValueError):
    """A key that an object holds twice; JSON leaves open which value counts, and Python's takes the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice(_repeated(key for key, _ in pairs))
    return made


def _twice(where: str, error: _Twice) -> UserError:
    return UserError(f"{where}: the key '{error}' occurs twice in one object", "rename or remove one of them")


def _repeated(names: Iterable[str]) -> str:
    """The first name that occurs a second time; nothing where none does."""
    seen = set[str]()
    return next((n for n in names if n in seen or seen.add(n)), "")  # type: ignore[func-returns-value]


def _fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg} at {line}column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _row(value: object, where: str, name: str, escapes: bool = False) -> Row:
    if not isinstance(value, dict):
        kinds = {list: "an array", str: "a text", type(None): "null", bool: "true or false"}
        found = kinds.get(type(value), "a number")
        raise UserError(f"{where}: expected an object, found {found}", 'each row looks like {"text": "…"}')
    if depth(value) > DEPTH:
        raise UserError(
            f"{where}: lists and objects nested deeper than {DEPTH} levels", "flatten it, or remove the row"
        )
    for column, held in value.items() if escapes else ():
        _refuse_halves(column, f"{where}: the name of column {column!r}")
        _refuse_halves(held, f"{where}: column '{column}'")
    return Row(value, where, name)


def _refuse_halves(value: Any, where: str) -> None:
    """UserError where a text holds half of a surrogate pair: no file in UTF-8 could hold it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        at = f"at position {e.start - 1}" if isinstance(value, str) else "in it"
        raise UserError(f"{where}: half of a surrogate pair {at}", "write the character whole") from None


def _csv(file: File) -> Iterator[Row]:
    """Commas, or tabs where the suffix is .tsv; the first line names the columns; all values are text."""
    csv.field_size_limit(LIMIT)  # the module's own, 128 KiB, is less than one article
    delimiter = "\t" if file.suffix == ".tsv" else ","
    reader = csv.reader((line for _, line in lines(file)), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        at = reader.line_num + 1
        where = f"{file.shown}:{at}"
        try:
            cells = next(reader, None)
        except csv.Error as e:
            hint = 'a quote within quotes is doubled: "say ""yes"""'
            raise UserError(f"{where}: not valid CSV ({e})", hint) from None
        if cells is None:
            return
        if not cells:
            continue
        if not header:
            header = _header(cells, where, delimiter)
        elif len(cells) != len(header):
            hint = "put a cell with a comma or a line break in quotes"
            raise UserError(f"{where}: {len(cells)} cells, expected {len(header)} ({', '.join(header)})", hint)
        else:
            yield Row(dict(zip(header, cells, strict=True)), where, f"{file.name}:{at}")


def _tsv(file: File) -> Iterator[Row]:
    """Tabs between cells, and quotes like any other character: what the format's registration says (IANA)."""
    header: list[str] = []
    for number, line in lines(file):
        where, cells = f"{file.shown}:{number}", line.rstrip("\r\n").split("\t")
        if cells == [""]:
            continue
        if not header:
            header = _header(cells, where, "\t")
        elif len(cells) != len(header):
            hint = "a tab or line break within a cell needs quotes, which format: csv reads"
            raise UserError(f"{where}: {len(cells)} cells, expected {len(header)} ({', '.join(header)})", hint)
        else:
            yield Row(dict(zip(header, cells, strict=True)), where, f"{file.name}:{number}")


def _header(cells: list[str], where: str, delimiter: str) -> list[str]:
    if len(set(cells)) < len(cells):
        found = f"the column '{_repeated(cells)}' occurs twice in the header"
        raise UserError(f"{where}: {found}", "is the line with the columns' names missing?")
    other = [d for d in ",;\t|" if d != delimiter and d in cells[0]]
    if len(cells) == 1 and other:
        hint = "name a tab-separated file .tsv" if other[0] == "\t" else "save it with commas"
        raise UserError(f"{where}: one column {cells[0][:60]!r}, separated by {other[0]!r} it seems", hint)
    return cells


def _parquet(file: File) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    with file.path.open("rb") as handle:
        if not handle.read(1):
            return
        try:
            table = pq.ParquetFile(handle)
            if twice := _column_twice(table.schema_arrow):
                raise UserError(f"{file.shown}: the column '{twice}' occurs twice", "rename or remove one of them")
            for batch in table.iter_batches(batch_size=256):
                for values in batch.to_pylist():
                    row += 1
                    yield Row(values, f"{file.shown}:{row}", f"{file.name}:{row}")
        except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as e:
            after = f" after row {row}" if row else ""
            first = first_line(e)
            raise UserError(f"{file.shown}: not a readable Parquet file{after} ({first})", "write it again") from None


def _column_twice(fields: Iterable[Any], at: str = "") -> str:
    """The dotted name of a column, or of a field within one, that occurs twice; nothing where none does."""
    import pyarrow as pa

    fields = list(fields)
    found = _repeated(f.name for f in fields)
    within = ""
    for field in fields:
        kind = field.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            within = within or _column_twice((kind.field(i) for i in range(kind.num_fields)), f"{at}{field.name}.")
    return f"{at}{found}" if found else within


def _text(file: File) -> Iterator[Row]:
    """The whole file; line ends become newlines, as Python's text mode has it."""
    if text := whole(file, LIMIT).replace("\r\n", "\n"):
        yield Row({"text": text}, f"{file.shown}:1", file.name)


def _rich(file: File) -> Iterator[Row]:
    from .rich import rows

    return rows(file)


READERS: Mapping[str, Callable[[File], Iterator[Row]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
    "text": _text,
    **dict.fromkeys(DOCUMENTS, _rich),
}
