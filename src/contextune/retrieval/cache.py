"""Arrays kept on disk under a hash of all that decides them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextune.core.errors import first_line
from contextune.core.files import replacing
from contextune.core.progress import say_once

Arrays = Mapping[str, NDArray[Any]]
VERSION = 2
"""Raised when what is computed changes for the same key."""


def key(*parts: object) -> str:
    """Hash of JSON-like values."""
    text = json.dumps([VERSION, *parts], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def kept(folder: Path | None, name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of that name, made where there are none.

    Written beside their place and moved there, so that a kill leaves no half of them; a file that
    cannot be read is made anew. Where the folder cannot be written to nothing is kept.
    """
    if folder is None:
        return make()
    file = folder / f"{name}.npz"
    try:
        with np.load(file, allow_pickle=False) as found:
            return {k: found[k] for k in found.files}
    except FileNotFoundError:
        made = make()
    except Exception as e:  # zip and npy files know many ways to be damaged
        say_once(f"{file} is damaged ({first_line(e)}): made anew")
        made = make()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part, part.open("wb") as f:
            np.savez(f, allow_pickle=False, **made)
    return made
