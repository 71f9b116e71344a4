"""Which files a path stands for: one file, a folder with all below it (links are followed), or a glob; sorted.

What is passed over is named, with the reason where it is not the suffix. At most MOST files and folders are looked at.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from contextune.core.errors import UserError, nearest
from contextune.core.reading import DEPTH, kind_of, refuse_path

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
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".epub": "epub",
}
DOCUMENTS = ("pdf", "docx", "pptx", "html", "epub")
"""Formats that a library of the extra `documents` reads, a row a file."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""May stand behind any suffix but those of Parquet and documents, which are compressed within."""
SYSTEM = ("/proc", "/sys", "/dev")
HIDDEN = " (hidden)"
MOST = 100_000
"""Files and folders that one path may lead through."""


@dataclass(frozen=True, slots=True)
class File:
    """`shown` is the path as the recipe's reader would write it; `name` does not change when all moves."""

    path: Path
    shown: str
    name: str
    format: str

    @property
    def compression(self) -> str:
        """One of COMPRESSED, or nothing."""
        return _suffixes(self.path)[1]

    @property
    def suffix(self) -> str:
        """The suffix without that of the compression."""
        return _suffixes(self.path)[0]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    files: tuple[File, ...]
    ignored: tuple[str, ...]
    """What is passed over: suffixes that nobody reads or that are not the source's format, hidden files, bad links."""


def find(source: Source, folder: Path) -> FoundFiles:
    """The files of `source.path`, relative to `folder`. A file named twice is read once.

    Raises UserError where a path does not exist, a glob has no match, a folder holds nothing
    readable, or a suffix is unknown and the source names no format.
    """
    entries = _entries(source)
    if not entries:
        raise UserError("path: an empty list, expected at least one file", "name a file, a folder or a glob")
    files: dict[Path, File] = {}
    ignored: list[str] = []
    for entry in entries:
        for file in _entry(entry, folder, source.format):
            if not isinstance(file, File):
                ignored.append(file)
            elif (first := files.setdefault(file.path.resolve(), file)) is not file and file.path.is_symlink():
                ignored.append(f"{file.shown} (a link to {first.shown})")
    found = tuple(files.values())
    if len({f.name for f in found}) < len(found):  # two folders hold a file of the same name
        found = tuple(File(f.path, f.shown, f.shown, f.format) for f in found)
    return FoundFiles(found, tuple(ignored))


def refuse_within(source: Source, folder: Path, out: Path, what: str, fix: str) -> None:
    """UserError where `out`, a file or folder to be written, would be read the next time; `what` begins the message.

    Raises as `find`.
    """
    files, own = find(source, folder).files, out.resolve()
    among = [e for e in _entries(source) if own.is_relative_to((folder / Path(e).expanduser()).resolve())]
    among += [f.shown for f in files if f.path.resolve().is_relative_to(own)]
    if among:
        raise UserError(f"{what} lies within the documents ({among[0]})", fix)


def _entries(source: Source) -> list[str]:
    return [source.path] if isinstance(source.path, str) else list(source.path or ())


def _entry(entry: str, folder: Path, format: str) -> Iterator[File | str]:
    """Files, and the shown paths of those that are left out."""
    if not entry.strip():
        raise UserError("path: an empty text, expected a file, a folder or a glob", "the working directory is .")
    refuse_path(entry, "path")
    try:
        yield from _found(entry, folder, format)
    except OSError as e:
        raise UserError(f"{entry}: cannot be read ({e.strerror}: {e.filename})", "check its permissions") from None


def _found(entry: str, folder: Path, format: str) -> Iterator[File | str]:
    path = folder / Path(entry).expanduser()
    if path.is_dir():
        _refuse_system(path, entry)
        yield from _below(path, entry.rstrip("/"), format)
    elif path.is_file():
        yield File(path, entry, path.name, _format(path, entry, format))
    elif path.exists():
        raise UserError(f"{entry}: neither a file nor a folder, but {kind_of(path)}", "write it to a file first")
    elif path.is_symlink():
        raise UserError(f"{entry}: a broken link, to {os.readlink(path)}", "point it to a file, or remove it")
    elif any(c in entry for c in "*?["):
        yield from _matching(entry, folder, format)
    else:
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        where = f"in {path.parent}" if siblings else f"and no folder {path.parent}"
        hint = nearest(path.name, siblings[:50]) if siblings else f"paths are relative to {folder.resolve()}"
        raise UserError(f"{entry}: no such file {where}", hint)


def is_system(folder: Path) -> bool:
    """Whether a folder is the system's own view of itself, which holds no texts and hardly ends."""
    real = folder.resolve()
    return any(real.is_relative_to(s) for s in SYSTEM) and not real.is_relative_to("/dev/shm")


def _refuse_system(folder: Path, entry: str) -> None:
    """UserError before a walk through the whole disk, or through what the system makes up."""
    real = folder.resolve()
    if real == Path(real.anchor):
        raise UserError(f"{entry}: the whole file system", "name the folder that holds your texts")
    if is_system(folder):
        raise UserError(f"{entry}: {real} is a folder of the system", "name the folder that holds your texts")


@dataclass(slots=True)
class _Look:
    """A walk through folders, which ends."""

    entry: str
    seen: int = 0
    done: set[tuple[str, int]] = field(default_factory=set)
    """Folders and how many parts of a glob were left there."""

    def names(self, folder: Path) -> list[str]:
        """Sorted; UserError where there are too many in all."""
        with os.scandir(folder) as entries:
            names = []
            for e in entries:
                names.append(e.name)
                self.seen += 1
                if self.seen > MOST:
                    hint = "name a narrower folder, or pack texts into JSON Lines files (a row each)"
                    raise UserError(f"{self.entry}: leads through more than {MOST:,} files and folders", hint)
        return sorted(names)


def _below(base: Path, entry: str, format: str) -> Iterator[File | str]:
    inside = sorted(_walk(base, _Look(entry), ()))
    wanted = {p: read for p, why in inside if not why and (read := _wanted(PurePath(p), format))}
    if not wanted:
        what = f"{format} file" if format != "auto" else f"file that ends in {', '.join(SUFFIXES)}"
        others = sum(not why.endswith(HIDDEN) for _, why in inside)
        hint = "name the folder that holds them, or the file itself with the source's format"
        raise UserError(f"{entry}: a folder without any {what} ({others} other files)", hint)
    for p, why in inside:
        shown = f"{entry}/{p}"
        yield File(base / p, shown, p, wanted[p]) if p in wanted else shown + why


def _walk(base: Path, look: _Look, above: tuple[Path, ...], at: str = "") -> Iterator[tuple[str, str]]:
    """All files below `base / at`, relative to `base`, each with the reason why it cannot be read, if any.

    `above` are the folders on the way, so that a link to one of them does not lead around for ever.
    """
    here = (base / at).resolve()
    try:
        names = look.names(base / at)
    except OSError as error:
        found = f"{look.entry}: cannot be listed ({error.strerror}: {error.filename})"
        raise UserError(found, "make it readable, or name the folders beside it") from None
    for name in names:
        path, inner = base / at / name, f"{at}/{name}" if at else name
        if not _is_text(name):
            yield _spelled(inner), " (its name is not UTF-8)"
        elif name.startswith("."):
            yield inner, ("/" if path.is_dir() else "") + HIDDEN
        elif path.is_dir():
            target = path.resolve()
            if any(folder.is_relative_to(target) for folder in (here, *above)):
                yield inner, "/ (a link to a folder that it is in)"
            elif is_system(target):
                yield inner, "/ (a folder of the system)"
            elif len(above) >= DEPTH:
                yield inner, f"/ (deeper than {DEPTH} folders)"
            else:
                yield from _walk(base, look, (here, *above), inner)
        else:
            yield inner, _unreadable(path)


def _unreadable(path: Path) -> str:
    if path.is_file():
        return ""
    return " (a broken link)" if path.is_symlink() else " (neither a file nor a folder)"


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _spelled(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def matching(pattern: str, folder: Path) -> list[str]:
    """The files below a folder that match a glob, relative to it, sorted."""
    refuse_path(pattern, "path")
    found = set(_glob(folder, "", PurePath(pattern.lstrip("/")).parts, _Look(pattern), ()))
    return sorted(p for p in found if (folder / p).is_file())


def _matching(entry: str, folder: Path, format: str) -> Iterator[File | str]:
    pattern = Path(entry).expanduser()
    fixed = next((i for i, part in enumerate(pattern.parts) if set(part) & set("*?[")), 0)
    root = PurePath(*pattern.parts[:fixed])
    if "**" in entry or is_system(folder / root):
        _refuse_system(folder / root, entry)
    found = sorted(set(_glob(folder, str(root) if fixed else "", pattern.parts[fixed:], _Look(entry), ())))
    files = {p for p in found if _is_text(p) and (folder / p).is_file()}
    if not files:
        raise UserError(f"{entry}: no file matches, seen from {folder}", "** reaches into folders, * does not")
    for shown in found:
        path = folder / shown
        if shown in files:
            name = PurePath(shown).relative_to(root).as_posix()
            yield File(path, shown, name, _format(Path(shown), shown, format))
        elif not _is_text(shown):
            yield f"{_spelled(shown)} (its name is not UTF-8)"
        elif not path.is_dir():
            yield f"{shown}{_unreadable(path)}"
        elif "**" not in entry:  # which reaches into it
            yield f"{shown}/ (a folder)"


def _glob(folder: Path, at: str, parts: tuple[str, ...], look: _Look, above: tuple[Path, ...]) -> Iterator[str]:
    """Paths that match, as `glob.glob` finds them: hidden names only where the pattern begins with a dot.

    A link to a folder that it is in is not followed, and no folder is looked through twice for the same parts.
    """
    if not parts:
        yield at
        return
    if (at, len(parts)) in look.done or len(above) > DEPTH:
        return
    look.done.add((at, len(parts)))
    first, rest = parts[0], parts[1:]
    here = folder / at
    if first == "**":
        yield from _glob(folder, at, rest, look, above) if at or rest else ()
    elif not set(first) & set("*?["):
        inner = f"{at.rstrip('/')}/{first}" if at else first
        yield from _glob(folder, inner, rest, look, above) if os.path.lexists(folder / inner) else ()
        return
    try:
        names = look.names(here)
    except OSError:  # no folder, or one that is not ours to read
        return
    match, way = re.compile(fnmatch.translate(first)).match, (here.resolve(), *above)
    for name in names:
        if (name.startswith(".") and not first.startswith(".")) or not match(name):
            continue
        inner = f"{at.rstrip('/')}/{name}" if at else name
        if not rest and first != "**":
            yield inner
        elif not (folder / inner).is_dir():
            yield from [inner] if first == "**" and not rest else ()
        elif (target := (folder / inner).resolve()) and not any(f.is_relative_to(target) for f in way):
            yield from [] if is_system(target) else _glob(folder, inner, parts if first == "**" else rest, look, way)


def _suffixes(path: PurePath) -> tuple[str, str]:
    """(suffix, suffix of the compression), in lower case."""
    suffix = path.suffix.lower()
    return (path.with_suffix("").suffix.lower(), suffix) if suffix in COMPRESSED else (suffix, "")


def _read_as(path: PurePath) -> str:
    """The format of a file's suffix; nothing where nobody reads it."""
    suffix, compression = _suffixes(path)
    read = SUFFIXES.get(suffix, "")
    return "" if compression and read in ("parquet", *DOCUMENTS) else read


def _wanted(path: PurePath, format: str) -> str:
    """How a file of a folder is read; nothing where it is of another format than the source's."""
    read = _read_as(path)
    if format == "tsv":
        return "tsv" if _suffixes(path)[0] == ".tsv" else ""
    return read if format in ("auto", read) else ""


def _format(path: Path, shown: str, format: str) -> str:
    if format != "auto":
        return format
    if not (read := _read_as(path)):
        known = ", ".join(SUFFIXES)
        raise UserError(
            f"{shown}: unknown suffix '{''.join(_suffixes(path))}', expected one of {known}, "
            f"also behind it {', '.join(COMPRESSED)}",
            "set the source's format: jsonl, json, csv, parquet or text",
        )
    return read
