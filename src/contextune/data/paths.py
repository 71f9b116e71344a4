"""Which files a path stands for: one file, a folder with all below it, or a glob; sorted."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from contextune.core.errors import UserError, nearest

if TYPE_CHECKING:
    from contextune.data.options import Source

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
    ".md": "text",
}


@dataclass(frozen=True, slots=True)
class File:
    """`shown` is the path as the recipe's reader would write it; `name` does not change when all moves."""

    path: Path
    shown: str
    name: str
    format: str


@dataclass(frozen=True, slots=True)
class FoundFiles:
    files: tuple[File, ...]
    ignored: tuple[str, ...]
    """Files of a folder that have a suffix nobody reads, or one other than the source's format."""


def find(source: Source, folder: Path) -> FoundFiles:
    """The files of `source.path`, relative to `folder`. A file named twice is read once.

    Raises UserError where a path does not exist, a glob has no match, a folder holds nothing
    readable, or a suffix is unknown and the source names no format.
    """
    entries = [source.path] if isinstance(source.path, str) else list(source.path or ())
    if not entries:
        raise UserError("path: an empty list, expected at least one file")
    files: dict[Path, File] = {}
    ignored: list[str] = []
    for entry in entries:
        for file in _entry(entry, folder, source.format):
            if isinstance(file, File):
                files.setdefault(file.path.resolve(), file)
            else:
                ignored.append(file)
    found = tuple(files.values())
    if len({f.name for f in found}) < len(found):  # two folders hold a file of the same name
        found = tuple(File(f.path, f.shown, f.shown, f.format) for f in found)
    return FoundFiles(found, tuple(ignored))


def _entry(entry: str, folder: Path, format: str) -> Iterator[File | str]:
    """Files, and the shown paths of those that are left out."""
    path = folder / Path(entry).expanduser()
    if path.is_dir():
        yield from _below(path, entry.rstrip("/"), format)
    elif path.is_file():
        yield File(path, entry, path.name, _format(path, entry, format))
    elif path.exists():
        raise UserError(f"{entry}: neither a file nor a folder")
    elif any(c in entry for c in "*?["):
        yield from _matching(entry, folder, format)
    else:
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        where = f"in {path.parent}" if siblings else f"and no folder {path.parent}"
        hint = nearest(path.name, siblings[:50]) if siblings else f"paths are relative to {folder.resolve()}"
        raise UserError(f"{entry}: no such file {where}", hint)


def _below(base: Path, entry: str, format: str) -> Iterator[File | str]:
    inside = {p: SUFFIXES.get(PurePath(p).suffix.lower(), "") for p in sorted(_walk(base, entry))}
    wanted = {p for p, read in inside.items() if read and format in ("auto", read)}
    if not wanted:
        what = f"{format} file" if format != "auto" else f"file that ends in {', '.join(SUFFIXES)}"
        raise UserError(f"{entry}: a folder without any {what} ({len(inside)} other files)")
    for p, read in inside.items():
        yield File(base / p, f"{entry}/{p}", p, read) if p in wanted else f"{entry}/{p}"


def _walk(base: Path, entry: str) -> Iterator[str]:
    """Paths of all files below `base`, relative to it; names that begin with a dot are hidden."""

    def stop(error: OSError) -> None:  # os.walk passes over what it cannot open
        raise UserError(f"{entry}: cannot be listed ({error.strerror}: {error.filename})")

    for at, folders, names in os.walk(base, onerror=stop):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            if not name.startswith(".") and (Path(at) / name).is_file():
                yield (Path(at) / name).relative_to(base).as_posix()


def _matching(entry: str, folder: Path, format: str) -> Iterator[File]:
    pattern = Path(entry).expanduser()
    fixed = next(i for i, part in enumerate(pattern.parts) if set(part) & set("*?["))
    root = PurePath(*pattern.parts[:fixed])
    found = sorted(p for p in glob.glob(str(pattern), root_dir=folder, recursive=True) if (folder / p).is_file())
    if not found:
        raise UserError(f"{entry}: no file matches, seen from {folder}", "** reaches into folders, * does not")
    for shown in found:
        name = PurePath(shown).relative_to(root).as_posix()
        yield File(folder / shown, shown, name, _format(Path(shown), shown, format))


def _format(path: Path, shown: str, format: str) -> str:
    if format != "auto":
        return format
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UserError(
            f"{shown}: unknown suffix '{suffix}', expected one of {known}",
            "set the source's format: jsonl, json, csv, parquet or text",
        )
    return SUFFIXES[suffix]
