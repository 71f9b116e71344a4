"""Memory that this process may still take: of the machine, of its container, of its own limit, or of a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError, shown

CGROUPS = Path("/sys/fs/cgroup")
V2 = ("memory.max", "memory.current", "inactive_file")
_NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "bad_alloc", "failed to map segment")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free() -> int:
    """Bytes that are free on the device that trains: the GPU where there is one, else the machine's memory."""
    import torch

    if torch.cuda.is_available():
        spare, _ = torch.cuda.mem_get_info()
        return spare + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return free_ram()


def free_ram() -> int:
    """The least of what the machine, every control group around this process, and its own limit (`ulimit -v`) leave."""
    import psutil

    process = psutil.Process()
    found = [int(psutil.virtual_memory().available), *cgroups()]
    if hasattr(process, "rlimit"):  # Linux
        soft, _ = process.rlimit(psutil.RLIMIT_AS)
        if soft != psutil.RLIM_INFINITY:
            found.append(soft - process.memory_info().vms)
    return max(0, min(found))


def cgroups(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Bytes that each control group of this process leaves; groups without a limit are passed over.

    Inside a container `own` may name the path outside of it, while `root` shows the container's group.
    """
    if not own.exists():
        return
    for line in own.read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        base, names = (root / "memory", V1) if kinds else (root, V2)
        group = base / path.strip("/")
        for folder in (group, *group.parents):
            if folder != base and base not in folder.parents:
                break
            yield from _left(folder, *names)


def _left(folder: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """What is left of a group's limit. File pages that nobody has used lately are given up when memory is asked for."""
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or "max": no limit
        return
    if most < 1 << 60:  # version 1 writes a number near 2^63 where there is no limit
        yield most - used + int(stat.get(reclaimable, 0))


def size_of(text: str) -> int:
    """80GB -> 8e10, 80GiB -> 80 * 2^30. Raises UserError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])(i?)b?", text.strip().lower())
    if found is None or not (size := float(found[1])):
        raise UserError(f"memory: '{shown(text)}' is no size", "write 80GB, 24GiB or 512MB")
    power = "kmgt".index(found[2]) + 1
    return int(size * (1024 if found[3] else 1000) ** power)


def gib(size: float) -> str:
    """5.3e9 -> 4.9 GiB, 5.3e6 -> 5 MiB."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def steady() -> None:
    """Have large blocks of memory given back to the system as soon as they are free (glibc; nothing elsewhere).

    By default its heap keeps blocks of up to 32 MiB and falls to pieces: a training of 1.8 GiB took 3.6.
    """
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD
    except (OSError, AttributeError, TypeError):
        return


def release() -> None:
    """Give back what nobody holds any more, on a GPU too."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def exhausted(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on a CPU or a GPU."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)
