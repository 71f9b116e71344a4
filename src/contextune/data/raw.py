"""Bytes to text, with the place where it fails: UTF-8 with or without a byte order mark, rows of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from contextune.core.errors import UserError

from .paths import File

LIMIT = 64 * 2**20
"""Bytes a row may have at most (characters, once decoded): beyond it the file is hardly what it says."""

WHOLE = 2**30
"""Bytes a JSON file may have at most: an array is read whole."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """`origin` is "file:row" for the reader, `name` an id that is the same wherever the files lie."""

    values: Mapping[str, Any]
    origin: str
    name: str


def lines(file: File) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and decoded lines with their ends."""
    offset, number = 0, 0
    with file.path.open("rb") as handle:
        while raw := handle.readline(LIMIT + 1):
            number += 1
            if len(raw) > LIMIT:
                raise UserError(
                    f"{file.shown}:{number}: more than {LIMIT:,} bytes in one line",
                    "is it one object a line? cut longer texts into several rows",
                )
            skip = len(_BOM) if number == 1 and raw.startswith(_BOM) else 0
            yield number, _decode(raw[skip:], f"{file.shown}:{number}", offset + skip)
            offset += len(raw)


def whole(file: File, limit: int) -> str:
    """The file's text; UserError where it has more than `limit` bytes."""
    with file.path.open("rb") as handle:
        raw = handle.read(limit + 1)
    if len(raw) > limit:
        hint = "cut it into several files, or use JSON Lines (.jsonl)"
        raise UserError(f"{file.shown}: more than {limit:,} bytes at once", hint)
    skip = len(_BOM) if raw.startswith(_BOM) else 0
    return _decode(raw[skip:], file.shown, skip)


def _decode(raw: bytes, where: str, offset: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as e:
        found = f"0x{raw[e.start]:02x} at byte {offset + e.start}"
        hint = "save it as UTF-8, e.g. with iconv -f LATIN1 -t UTF-8"
        raise UserError(f"{where}: not UTF-8, found {found}", hint) from None


@contextmanager
def explained(file: File) -> Iterator[None]:
    """What the operating system refuses, in words."""
    try:
        yield
    except IsADirectoryError:
        raise UserError(f"{file.shown}: a folder, expected a file") from None
    except PermissionError:
        raise UserError(f"{file.shown}: no permission to read it", f"chmod u+r {file.path}") from None
    except OSError as e:
        raise UserError(f"{file.shown}: cannot be read ({e.strerror or e})") from None
