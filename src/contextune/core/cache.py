"""The folder of things that were made or fetched once and serve every run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from platformdirs import user_cache_path

from .errors import UserError

VARIABLE = "CONTEXTUNE_CACHE"


def folder() -> Path:
    """`$CONTEXTUNE_CACHE`, else the user's cache folder of the operating system."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else user_cache_path("contextune", appauthor=False)


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """A folder that is there whole or not at all: `make` fills a folder beside it, which then takes its place.

    Of several processes that make it at once, the first to finish wins. Raises UserError where it cannot be written.
    """
    if target.is_dir():
        return target
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent))
        make(part)
        part.chmod(0o755)
        if not target.is_dir():
            part.replace(target)
    except OSError as e:
        if not target.is_dir():
            raise UserError(
                f"{target} cannot be written ({e.strerror or e})",
                f"make room, or name another folder in the environment variable {VARIABLE}",
            ) from None
    finally:
        if part is not None and part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
    return target
