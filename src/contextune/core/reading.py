"""Files from outside, read whole: of a bounded size, and files indeed, not pipes or devices that never end."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from .errors import UserError

LIMIT = 2**26
"""Bytes of a file that is read whole, unless told otherwise."""
DEPTH = 64
"""Levels of lists and mappings in each other."""
DIGITS = 18
"""Digits of a whole number within a text."""
KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(path: Path) -> str:
    """What a path is that is neither a file nor a folder: a pipe, a socket, a device."""
    return KINDS.get(stat.S_IFMT(path.stat().st_mode), "neither a file nor a folder")


def refuse_path(text: str, where: str) -> None:
    """UserError where no file can have this path: a NUL, a lone surrogate, a name of more than 255 bytes."""
    shown = f"{where}: {text[:60]!r}{'…' if len(text) > 60 else ''}"
    if "\0" in text:
        raise UserError(f"{shown}: a path with a NUL character", "remove it")
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{shown}: a path that is not UTF-8", "rename the file or folder") from None
    if len(raw) > 4000 or any(len(part) > 255 for part in raw.split(b"/")):
        longest = max(len(part) for part in raw.split(b"/"))
        hint = "a name has at most 255 bytes, a path 4,000; is it a text, where a path is expected?"
        raise UserError(f"{shown}: a path of {len(raw):,} bytes, its longest name {longest:,}", hint)


def read_bytes(path: Path, expected: str, limit: int = LIMIT) -> bytes:
    """A file's bytes. UserError where it is none, cannot be read or has more than `limit`; FileNotFoundError."""
    refuse_path(str(path), expected)
    try:
        if path.is_dir():
            raise UserError(f"{path}: a folder, expected {expected}", "name a file in it")
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: {kind_of(path)}, expected {expected}", "write it to a file first")
        with path.open("rb") as handle:
            raw = handle.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})", "check the path, and that you may read it") from None
    if len(raw) > limit:
        raise UserError(f"{path}: more than {limit:,} bytes, expected {expected}", "is it the right file?")
    return raw


def read_text(path: Path, expected: str, limit: int = LIMIT) -> str:
    """A file's text, without a byte order mark. Raises as `read_bytes`, and where it is not UTF-8."""
    try:
        return read_bytes(path, expected, limit).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None


def json_lines(path: Path, expected: str, limit: int = LIMIT) -> list[str]:
    """The lines of a JSON Lines file. Raises as `read_text`.

    They end at a line feed alone: a text within may hold U+2028 or U+0085, which `str.splitlines` takes for ends.
    """
    return read_text(path, expected, limit).removesuffix("\n").split("\n")


def read_json(path: Path, limit: int = LIMIT) -> Any:
    """A JSON file's value. UserError as `read_text`; ValueError, which says where, for what is not JSON."""
    return parse_json(read_text(path, "a JSON file", limit))


def parse_json(text: str) -> Any:
    """JSON of at most DEPTH levels. Raises ValueError."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if depth(value) > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH} levels")
    return value


def whole_number(text: str) -> int | None:
    """What decimal digits alone say, at most DIGITS of them; None for any other text."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS else None


def depth(value: Any) -> int:
    """Levels of lists and mappings in each other; 0 for anything else."""
    level, found = [value], 0
    while level := [v for v in level if isinstance(v, dict | list | tuple)]:
        found += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return found
