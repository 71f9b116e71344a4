"""What Contextune has written, told from what is the user's: nothing else is overwritten or removed.

A folder of many files is claimed while it is new or empty, by a mark that names what it is for (`.contextune-run`). Of
single files the folder that holds them keeps a list (`.contextune-files`), with the hash of what was written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from .errors import UserError, shown
from .files import checksum, edited, is_part, no_link, write_bytes
from .reading import KINDS

MARK = ".contextune-"
WRITTEN = f"{MARK}files"
TITLE, HEAD = " · Contextune</title>".encode(), 8192
"""What every page has, and within how many bytes."""
INERT = (".DS_Store", ".gitignore", ".gitkeep", ".directory", "desktop.ini", "Thumbs.db")
"""What file managers and git leave in a folder that holds nothing."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_UNREADABLE = re.compile("[\x01-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
LONGEST = 120
"""Characters of a name that becomes part of a file's name."""


def name_part(name: str, where: str) -> str:
    """`name`, which can be part of a file's name in a folder; UserError where it could lead out of it."""
    if len(name) > LONGEST:
        raise UserError(
            f"{where}: {len(name)} characters, at most {LONGEST} can be part of a file's name", "shorten it"
        )
    if not NAME.fullmatch(name):
        raise UserError(
            f"{where}: {name!r:.80} cannot be part of a file's name",
            "use letters, digits and _ . + -, a letter or digit first",
        )
    return name


def claim(
    folder: Path,
    kind: str,
    what: str = "output",
    fix: str = "give another output=FOLDER",
    *,
    earlier: Callable[[Path], bool] = lambda folder: False,
    keep: bool = True,
) -> None:
    """Make `folder` the one of a `kind` (run, evaluation …), or take it up again; with `keep` false only look.

    It must be new, empty, of the same kind already, or made by an `earlier` version. UserError where it holds anything
    else, a link or a device, or cannot be written to.
    """
    refuse_unreadable(folder, what, fix)
    mark = folder / f"{MARK}{kind}"
    with _in_words(folder, what, fix):
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(p.name for p in folder.iterdir())
        if mark.name not in there:
            _refuse(folder, there, kind, what, fix, earlier)
        refuse_links(folder, fix)
        said = f"Contextune writes this folder ({kind}).\n".encode()
        if keep and (mark.name not in there or mark.read_bytes() != said):
            write_bytes(mark, said)
        with TemporaryFile(dir=folder) as probe:  # of this process alone: others of the run look at the same time
            probe.write(b"x")


def refuse_links(folder: Path, fix: str = "give another output=FOLDER") -> None:
    """UserError where anything in a folder of ours is no file or folder: a link leads out of it, a pipe never ends."""
    odd = sorted(
        f"{path.relative_to(folder)} ({KINDS.get(kind, 'a device')})"
        for at, inner, files in os.walk(folder)
        for path in (Path(at, name) for name in (*inner, *files))
        if (kind := _kind(path)) not in (0, stat.S_IFREG, stat.S_IFDIR)
    )
    if odd:
        raise UserError(
            f"{folder}: neither files nor folders: {listed(odd)}",
            f"Contextune makes no links or devices: move them elsewhere first, or {fix}",
        )


def _kind(path: Path) -> int:
    """0 where there is nothing any more."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return 0


def set_aside(file: Path) -> None:
    """Before `file` is written again: what was edited in it since `signed` text was written stays, as FILE.yours."""
    if edited(file):
        names = (file.with_name(f"{file.name}.yours{end}") for end in ("", *(f"-{i}" for i in range(2, 10**6))))
        kept = next(name for name in names if not os.path.lexists(name))
        os.rename(file, kept)
        from .progress import say_once  # rich, which a report does without

        say_once(f"{file} was edited or damaged: kept as {kept.name}, and written anew")


def claimed(folder: Path, kind: str = "*") -> bool:
    """Whether a folder is one of a kind, or of any."""
    return any(p.name != WRITTEN for p in folder.glob(f"{MARK}{kind}"))


def _refuse(folder: Path, there: list[str], kind: str, what: str, fix: str, earlier: Callable[[Path], bool]) -> None:
    kinds = [n.removeprefix(MARK) for n in there if n.startswith(MARK) and n != WRITTEN]
    if kinds:
        raise UserError(f"{what} {folder}: this folder is for another purpose ({kinds[0]})", f"{fix}, new or empty")
    foreign = [n for n in there if n not in (*INERT, WRITTEN) and not is_part(n)]
    if foreign and not earlier(folder):
        raise UserError(
            f"{what} {folder}: the folder holds files that no {kind} of Contextune wrote ({listed(foreign)})",
            f"{fix}, new or empty",
        )


def listed(names: Iterable[str], most: int = 3) -> str:
    """a, b, c and 4 more."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def _in_words(path: Path, what: str, fix: str) -> Iterator[None]:
    """Within: what the system says of a path becomes a UserError."""
    where = f"{what} {str(path) if str(path).isprintable() else repr(str(path))}"
    where = where if len(where) < 200 else f"{where[:200]}…"
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{where}: a file of that name is in the way", fix) from None
    except OSError as e:
        raise UserError(f"{where}: cannot be written ({os.strerror(e.errno or 0)})", fix) from None
    except ValueError as e:  # NUL, half of a surrogate pair
        raise UserError(f"{where}: not the name of a file ({e})", fix) from None


def same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, by links, `..` or another case as well."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def refuse_unreadable(path: Path, what: str, fix: str) -> None:
    """UserError for a path to write that no line of text can show: line breaks, controls, marks of direction."""
    if odd := _UNREADABLE.search(str(path)):
        raise UserError(
            f"{what} {shown(str(path), 200)}: holds the character U+{ord(odd[0]):04X}", f"{fix}, of plain characters"
        )


def refuse_nameless(file: Path, fix: str = "give another --out") -> None:
    """UserError for `.` and `/`, which name no file."""
    if not file.name:
        raise UserError(f"output {file}: a folder, expected the name of a file", fix)


def may_write(file: Path, fix: str = "give another --out", inputs: Iterable[Path] = ()) -> None:
    """UserError where `file` is there and not as Contextune left it, is one of `inputs`, or cannot be written."""
    refuse_nameless(file, fix)
    refuse_unreadable(file, "output", fix)
    with _in_words(file, "output", fix):
        if twin := next((i for i in inputs if same(file, i)), None):
            raise UserError(f"output {file}: it is an input as well ({twin})", fix)
        try:
            kind = stat.S_IFMT(os.lstat(file).st_mode)
        except FileNotFoundError:
            above = next(p for p in file.absolute().parents if p.exists())
            if not os.access(above, os.W_OK):
                raise OSError(errno.EACCES if above.is_dir() else errno.EEXIST, "") from None
            return
        if file.is_dir():
            raise OSError(errno.EISDIR, "")
        if kind != stat.S_IFREG or checksum(file) not in _written(file):
            raise UserError(
                f"output {file}: the file exists, and it is not as Contextune wrote it", f"{fix}, or move it away"
            )


def write(file: Path, text: str, fix: str = "give another --out") -> Path:
    """Write a file, whole or not at all, where `may_write` lets it."""
    may_write(file, fix)
    data = text.encode("utf-8")
    with _in_words(file, "output", fix):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file.parent / WRITTEN, "a", encoding="ascii", opener=no_link) as log:
            # first: after a kill the old and the new are ours
            log.write(f"{hashlib.sha256(data).hexdigest()} {json.dumps(file.name)}\n")
        write_bytes(file, data)
    return file


def remove(file: Path) -> None:
    """Remove a file that Contextune has written; one that it has not stays."""
    if file.is_file() and not file.is_symlink() and checksum(file) in _written(file):
        file.unlink()


def save_page(file: Path, html: str) -> Path:
    """Write an HTML page of ours, whose title says so, where there is none, one of ours, or an empty file."""
    refuse_unreadable(file, "page", "give another file")
    with _in_words(file, "page", "give another file"):
        if os.path.lexists(file) and not (file.is_file() and _is_page(file.read_bytes())):
            raise UserError(
                f"page {file}: the file exists, and Contextune did not write it", "move it, or give another"
            )
        write_bytes(file, html.encode("utf-8"))
    return file


def _is_page(data: bytes) -> bool:
    """Whether a file that holds this is a page of ours, or what a full disk or a power cut left of one: nothing."""
    return not data.strip(b"\0") or TITLE in data[:HEAD]


def _written(file: Path) -> set[str]:
    """Hashes of what Contextune has written under a name."""
    try:
        lines = (file.parent / WRITTEN).read_text("ascii", "replace").splitlines()
    except OSError:
        return set()
    name = json.dumps(file.name)
    return {found for found, _, of in (line.partition(" ") for line in lines) if of == name}
