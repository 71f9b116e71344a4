"""Bytes to text, with the place where it fails: UTF-8 with or without a byte order mark, rows of a bounded size.

Compressed files are read as what is in them: .gz, .bz2, .xz, .zst.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from contextune.core.errors import UserError

from .paths import File

LIMIT = 64 * 2**20
"""Bytes a row may have at most (characters, once decoded): beyond it the file is hardly what it says."""

WHOLE = 2**30
"""Bytes a JSON file may have at most: an array is read whole."""
FREE, RATIO = 2**24, 300
"""Bytes that any compressed file may unpack to, and how many times its own size beyond that."""

_BOM = b"\xef\xbb\xbf"
_HEAD = 4096
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_MAGIC = {
    rb"\x1f\x8b": ("gzip", "name it .gz behind its own suffix"),
    rb"BZh[1-9]1AY&SY": ("bzip2", "name it .bz2 behind its own suffix"),
    rb"\xfd7zXZ\0": ("xz", "name it .xz behind its own suffix"),
    rb"\x28\xb5\x2f\xfd": ("zstd", "name it .zst behind its own suffix"),
    rb"PK\x03\x04": ("zip or an office document", "name it .docx, .pptx or .epub if it is one, else unpack it"),
    rb"%PDF-\d": ("PDF", "name it .pdf"),
    rb"PAR1[\x15\0]": ("Parquet", "name it .parquet"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """`origin` is "file:row" for the reader, `name` an id that is the same wherever the files lie."""

    values: Mapping[str, Any]
    origin: str
    name: str


def lines(file: File) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and decoded lines with their ends."""
    offset, number = 0, 0
    with opened(file, f"{file.shown}:1") as handle:
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
            if offset > FREE and file.compression:
                _refuse_bomb(file, offset)


def whole(file: File, limit: int) -> str:
    """The file's text; UserError where it has more than `limit` bytes."""
    with opened(file, file.shown) as handle:
        raw = bytearray(handle.read(min(limit, FREE) + 1))
        while len(raw) <= limit and (more := handle.read(FREE)):
            raw += more
            _refuse_bomb(file, len(raw))
    if len(raw) > limit:
        hint = "cut it into several files, or use JSON Lines (.jsonl)"
        raise UserError(f"{file.shown}: more than {limit:,} bytes at once", hint)
    skip = len(_BOM) if raw.startswith(_BOM) else 0
    return _decode(bytes(raw[skip:]), file.shown, skip)


def _refuse_bomb(file: File, size: int) -> None:
    """UserError where a compressed file unpacks to far more than texts do."""
    if file.compression and size > RATIO * file.path.stat().st_size:
        found = f"{file.shown}: unpacks to more than {RATIO} times its size"
        raise UserError(found, "texts shrink to a third or a tenth; unpack it by hand and look at it")


@contextmanager
def opened(file: File, where: str) -> Iterator[BinaryIO]:
    """The bytes of a text, uncompressed; UserError at `where` where they begin as no UTF-8 text does."""
    with file.path.open("rb") as raw:
        stream = _uncompressed(file.compression, raw)
        _refuse_other(stream.peek(_HEAD)[:_HEAD], where)  # type: ignore[attr-defined]
        yield stream


def _uncompressed(compression: str, raw: BinaryIO) -> BinaryIO:
    if compression == ".zst":
        import pyarrow as pa

        return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(raw, "zstd")))
    known: dict[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return cast(BinaryIO, known[compression](raw)) if compression else raw


def _refuse_other(head: bytes, where: str) -> None:
    """Bytes of another encoding or kind of file, told by how they begin."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            found = f"0x{head[0]:02x} at byte 0, the byte order mark of {encoding}"
            raise UserError(f"{where}: not UTF-8, found {found}", _convert(encoding))
    for ends, encoding in ((head[1::2], "UTF-16LE"), (head[::2], "UTF-16BE")):
        if len(head) >= 8 and ends.count(0) > 0.4 * len(ends):
            raise UserError(f"{where}: not UTF-8, every other byte is NUL as in {encoding}", _convert(encoding))
    for magic, (kind, fix) in _MAGIC.items():
        if re.match(magic, head):
            raise UserError(f"{where}: not a text, it begins as {kind} does", fix)


def _convert(encoding: str) -> str:
    return f"save it as UTF-8, e.g. with iconv -f {encoding} -t UTF-8"


def _decode(raw: bytes, where: str, offset: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as e:
        found = f"0x{raw[e.start]:02x} at byte {offset + e.start}"
        hint = f"{_convert('LATIN1')}, or whatever encoding it has in place of LATIN1"
        raise UserError(f"{where}: not UTF-8, found {found}", hint) from None


@contextmanager
def explained(file: File) -> Iterator[None]:
    """What the operating system refuses, in words."""
    try:
        yield
    except IsADirectoryError:
        raise UserError(f"{file.shown}: a folder, expected a file", "name a file in it") from None
    except PermissionError:
        raise UserError(f"{file.shown}: no permission to read it", f"chmod u+r {file.path}") from None
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as e:
        if file.compression and getattr(e, "errno", None) is None:
            raise UserError(f"{file.shown}: not a whole {file.compression} file ({e})", "write it again") from None
        if not isinstance(e, OSError):
            raise
        raise UserError(f"{file.shown}: cannot be read ({e.strerror or e})", "check the path and the disk") from None
