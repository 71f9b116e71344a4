"""What the machine refuses (room, rights, files, memory), in words that name the place and the fix."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError, first_line
from .memory import exhausted

_GONE = "the disk or the way to it is gone: attach it again"
FIXES = {
    errno.ENOSPC: "make room on that disk (df, and df -i for its number of files)",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "allow larger files there (ulimit -f)",
    errno.EROFS: "name a folder that can be written to",
    errno.EACCES: "name a folder that can be written to, or change its rights",
    errno.EPERM: "name a folder that can be written to, or change its rights",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.ENFILE: "close other programs: the whole machine has no more files to open",
    errno.EIO: "the disk or the way to it fails: look into the system's log, or use another disk",
    errno.ENAMETOOLONG: "give shorter names",
    errno.ENOMEM: "free some memory",
    errno.ESTALE: _GONE, errno.ENODEV: _GONE, errno.ENXIO: _GONE, errno.ENOTCONN: _GONE,
}  # fmt: skip
"""By error number: what a user can do."""
_NO_MEMORY = "free some memory, or take a smaller model, train.tokens or --workers"


def refusal(error: BaseException, place: Path | str = "", then: str = "") -> UserError | None:
    """The error as one that a user can fix; None for every other kind.

    It names the error's own file, else `place`: what is written carries no name. `then` follows the fix.
    """
    if isinstance(error, UserError):
        return None
    if exhausted(error):
        return _refusal("there is no memory left", place, _NO_MEMORY, then)
    if "can't start new thread" in str(error):
        return _refusal("no further thread or process is allowed", place, "ulimit -u 4096, or --workers 1", then)
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        what = f"{error.object!a}: no such name in the system's encoding of file names, {error.encoding}"
        return UserError(what, "set PYTHONUTF8=1, or a locale with UTF-8 (LC_ALL=C.UTF-8)")
    own = error if isinstance(error, OSError) else None
    if own is not None and own.errno == errno.ENOENT:
        return _missing(own, place, then)
    if own is not None and own.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR) and _name(own):
        name = getattr(own, "filename2", None) or _name(own)  # of a move: what it would replace
        return _refusal(f"the place is taken ({os.strerror(own.errno)})", name, "move away what is there", then)
    number = own.errno if own is not None and own.errno in FIXES else _number(error)
    if number is None:
        return None
    return _refusal(os.strerror(number), _name(own) or place, FIXES[number], then)


@contextmanager
def refusals(place: Path | str, then: str = "") -> Iterator[None]:
    """Within: what the machine refuses is a UserError that names the file, else `place`, and the fix."""
    try:
        yield
    except Exception as e:
        if found := refusal(e, place, then):
            raise found from e
        raise


def _refusal(what: str, place: Path | str, fix: str, then: str) -> UserError:
    return UserError(f"{place}: {what}" if str(place) else what, "; ".join(filter(None, (fix, then))))


def _number(error: BaseException) -> int | None:
    """Of an error of another kind that repeats the system's words, as of Rust, C++ and SQLite."""
    text = first_line(error) if isinstance(error, Exception) else ""
    if "database or disk is full" in text:
        return errno.ENOSPC
    words = {number: os.strerror(number).lower() for number in FIXES}
    words |= {errno.EIO: "disk i/o error" if "disk i/o error" in text.lower() else words[errno.EIO]}
    return next((n for n, said in words.items() if said in text.lower()), None)


def _name(error: OSError | None) -> str:
    """The error's file; "" where it has none, or only a number of an open one."""
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""


def _missing(error: OSError, place: Path | str, then: str) -> UserError | None:
    """A file that was there before: the working directory, temporary folders, what `place` holds."""
    try:
        here = os.getcwd()
    except OSError:
        return UserError("the working directory is gone", "; ".join(filter(None, ("cd to one that exists", then))))
    if "temporary directory" in str(error):
        return _refusal("no folder for temporary files can be written to", "", "set TMPDIR to one with room", then)
    name = _name(error)
    if not name or not str(place) or Path(here, place) not in (Path(here, name), *Path(here, name).parents):
        return None
    return _refusal("was removed while it was needed", name, "leave the folder to the command that works in it", then)
