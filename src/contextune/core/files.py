"""Files that are whole or unchanged, through kills, full disks and power losses, and checksums that tell damaged ones.

Whatever a run writes goes through `replacing`. What it reads back carries a checksum: a JSON mapping its own (`seal`),
a folder's files theirs in `whole.json`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import first_line
from .reading import whole_number

SEAL = "seal"
"""Key of a sealed JSON mapping: the digest of all the others."""
WHOLE = "whole.json"
"""Of a folder, written after everything else: the checksums of what belongs to it."""
UNSYNCABLE = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EISDIR}
"""What file systems that cannot sync a folder answer."""


class Damaged(ValueError):
    """A file does not hold what was written into it."""


def digest(value: object) -> str:
    """Hex hash (blake2b, 128 bits) of any JSON-like value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# --------------------------------------------------------------------------------------------- writing


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; on leaving it is on the disk, and then takes the place of `file`.

    A kill, an error or a power loss leaves the old file or the new one; an error leaves nothing beside it.
    """
    part = file.with_name(f".{digest(file.name)[:12]}.{os.getpid()}.part")
    try:
        yield part
        sync(part)
        os.replace(part, file)
        sync(file.parent)
    finally:
        part.unlink(missing_ok=True)


def is_part(name: str) -> bool:
    """Whether a file's name is one that `replacing` gives to what is half-written."""
    return re.fullmatch(r"\.[0-9a-f]{12}\.\d+\.part", name) is not None


def sync(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's names."""
    try:
        place = os.open(path, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    except OSError as e:
        if not (path.is_dir() and e.errno in UNSYNCABLE):
            raise


def sync_tree(folder: Path) -> None:
    """`sync` for all that lies in a folder, and the folder."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def no_link(path: str, flags: int) -> int:
    """Opener of a file that is written in place: of a link OSError (ELOOP), and a pipe is not waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def write_bytes(file: Path, content: bytes) -> None:
    """Put a new file in the place of an old one, or of a link, not of what the link points to."""
    with replacing(file) as part:
        part.write_bytes(content)


def write_text(file: Path, text: str) -> None:
    write_bytes(file, text.encode("utf-8"))


def write_json(file: Path, value: object) -> None:
    write_text(file, json.dumps(value, indent=1, ensure_ascii=False, default=str))


def write_lines(file: Path, rows: Iterable[object]) -> None:
    """JSON lines."""
    write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def sweep(folder: Path) -> None:
    """Remove what killed processes have left half-written, anywhere below a folder."""
    for part in folder.rglob(".*.part"):
        pid = part.suffixes[-2].removeprefix(".") if len(part.suffixes) > 1 else ""
        if part.is_file() and (number := whole_number(pid)) is not None and not is_alive(number):
            part.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


# ------------------------------------------------------------------------------------------- checksums


def write_sealed(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON mapping with its own checksum."""
    plain = json.loads(json.dumps(value, default=str))
    write_json(file, {**plain, SEAL: digest(plain)})


def read_sealed(file: Path, older: bool = False) -> dict[str, Any] | None:
    """What `write_sealed` wrote, without the seal; None where there is no file. Raises Damaged.

    With `older` a mapping without a seal, as earlier versions wrote it, is taken too.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as e:
        raise Damaged(f"{file} is damaged ({first_line(e)})") from None
    if isinstance(value, dict) and older and SEAL not in value:
        return value
    if not isinstance(value, dict) or value.pop(SEAL, None) != digest(value):
        raise Damaged(f"{file} is damaged (its checksum is another)")
    return value


def signed(text: str, comment: str = "# {}") -> str:
    """`text` with its own checksum in a comment at the end, which tells whether it was edited since."""
    text = text.rstrip("\n") + "\n"
    return text + comment.format(f"written by contextune {_signature(text.encode('utf-8'))}") + "\n"


def edited(file: Path) -> bool:
    """Whether a file holds anything else than what `signed` gave."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    *text, comment = content.removesuffix(b"\n").rpartition(b"\n")
    found = re.fullmatch(rb"(?:# |<!-- )written by contextune ([0-9a-f]{32})(?: -->)?", comment)
    return bool(content) and (found is None or found[1].decode() != _signature(b"".join(text)))


def _signature(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_checked(file: Path, content: bytes) -> None:
    """Write bytes with their checksum in front."""
    write_bytes(file, hashlib.sha256(content).digest() + content)


def read_checked(file: Path) -> bytes | None:
    """What `write_checked` wrote; None where there is no file. Raises Damaged."""
    try:
        whole = file.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(whole[32:]).digest() != whole[:32]:
        raise Damaged(f"{file} is damaged (its checksum is another)")
    return whole[32:]


def checksum(file: Path) -> str:
    """SHA-256 of a file's content (`sha256sum` gives the same); "" where it cannot be read."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""


def samples(file: Path) -> Iterator[bytes]:
    """A file's content, of one beyond 256 MiB 64 samples of 64 KiB: enough to tell models apart."""
    size = file.stat().st_size
    with file.open("rb") as content:
        if size <= 1 << 28:
            yield content.read()
            return
        for i in range(64):
            content.seek(i * (size - 65536) // 63)
            yield content.read(65536)


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Of several files, read side by side."""
    names = list(names)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(checksum, [folder / name for name in names]), strict=True))


def files_in(folder: Path) -> list[str]:
    """Names, relative to the folder, of all files below it but `whole.json`, sorted."""
    found = (str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in found if name != WHOLE)


def seal(folder: Path, sums: Mapping[str, str], **more: Any) -> None:
    """Write a folder's `whole.json`: the checksums of its files, which the disk holds by now, and what else is told."""
    write_sealed(folder / WHOLE, {**more, "sums": sums})


def sealed(folder: Path) -> dict[str, Any] | None:
    """A folder's `whole.json`; None where there is none. Raises Damaged."""
    return read_sealed(folder / WHOLE)


RELEASED = "released"
"""In `whole.json`: the folder's model was removed when it was no longer needed."""


def released(folder: Path) -> bool:
    """Whether a finished stage's folder has lost its weights on purpose."""
    try:
        return bool((sealed(folder) or {}).get(RELEASED))
    except Damaged:
        return False


def faults(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """Those of a folder's files that are gone or hold something else than these checksums say."""
    found = checksums(folder, sums)
    return [name for name, value in sums.items() if found[name] != value]
