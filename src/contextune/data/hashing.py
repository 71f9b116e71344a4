"""Content hashes: the same content gives the same hex string on any machine, in any process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(*values: Any) -> str:
    """blake2b (128 bits, hex) of values that JSON can hold; others count as their `str`.

    The order of mapping keys does not matter, the order of everything else does. Each value is
    framed by its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    made = Digest()
    for value in values:
        made.add(plain(value))
    return made.hex()


def plain(value: Any) -> bytes:
    """A value as it is hashed."""
    # ASCII escapes keep lone surrogates in a foreign column from failing here
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode("ascii")


class Digest:
    """`digest`, value by value."""

    def __init__(self) -> None:
        self.hasher = hashlib.blake2b(digest_size=16)

    def add(self, raw: bytes) -> None:
        """The next value, as `plain` has it."""
        self.hasher.update(len(raw).to_bytes(8, "big"))
        self.hasher.update(raw)

    def hex(self) -> str:
        return self.hasher.hexdigest()


def of_file(path: Path) -> str:
    """blake2b (128 bits, hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
