"""The folder of things that were made or fetched once and serve every run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from platformdirs import user_cache_path

from . import files
from .machine import refusals

VARIABLE = "CONTEXTUNE_CACHE"
ELSEWHERE = f"or name another folder in the environment variable {VARIABLE}"


def folder() -> Path:
    """`$CONTEXTUNE_CACHE`, else the user's cache folder of the operating system."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else user_cache_path("contextune", appauthor=False)


def remembered(kind: str, key: str, make: Callable[[], Any]) -> Any:
    """A JSON value of that key, made where there is none, or a damaged one; not kept where that is not possible."""
    file = folder() / kind / f"{key}.json"
    with suppress(files.Damaged):
        if (found := files.read_sealed(file)) is not None:
            return found["value"]
    made = make()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_sealed(file, {"value": made})
    return made


def is_whole(target: Path, thorough: bool = False) -> bool:
    """Whether all files are there that `make_once` left, of the same size, or `thorough`, of the same content."""
    try:
        kept = files.sealed(target)
        if kept is None:
            return False
        sizes: dict[str, int] = kept["sizes"]
        same = all((target / name).stat().st_size == size for name, size in sizes.items())
        return same and not (thorough and files.faults(target, kept["sums"]))
    except (files.Damaged, OSError, KeyError):
        return False


def make_once(target: Path, make: Callable[[Path], None], thorough: bool = False) -> Path:
    """A folder that is there whole or not at all: `make` fills a folder beside it, which then takes its place.

    One that has been damaged since is made again. Of several processes that make it at once, the first to finish wins;
    what a killed one has left is removed. Raises UserError where it cannot be written.
    """
    if is_whole(target, thorough):
        return target
    with refusals(target, ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        part = Path(mkdtemp(prefix=f".{target.name}.", suffix=f".{os.getpid()}.part", dir=target.parent))
        try:
            make(part)
            part.chmod(0o755)
            files.sync_tree(part)
            names = files.files_in(part)
            sizes = {name: (part / name).stat().st_size for name in names}
            files.seal(part, files.checksums(part, names), sizes=sizes)
            if not is_whole(target, thorough):
                _replace(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def _replace(part: Path, target: Path) -> None:
    """`target` has been damaged, or is not there, unless another process has made it in this moment."""
    if target.is_dir():
        shutil.rmtree(target)
    try:
        part.rename(target)
    except OSError:
        if not is_whole(target):
            raise
    files.sync(target.parent)


def _sweep(target: Path) -> None:
    """Remove what killed processes have left of the same folder."""
    for part in target.parent.iterdir():
        pid = part.name.removesuffix(".part").rpartition(".")[2]
        ours = part.name.startswith(f".{target.name}.") and part.name.endswith(".part") and pid.isdecimal()
        if ours and not files.is_alive(int(pid)):
            shutil.rmtree(part, ignore_errors=True)
