"""The header of a GGUF file, walked within bounds before a library reads it.

    GGUF | version | tensors | keys | (key, type, value) … | (name, dimensions, type, offset) …

A few bytes can claim 2^60 values, or layers, which a reader would then count or build one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from contextune.core.errors import UserError, readable

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MANY = 2**22
"""Values of an array: tokens of a vocabulary, merges."""
LONGEST = 2**24
"""Bytes of a string: chat templates are some thousands."""
PARTS = (
    "block_count", "head_count", "head_count_kv", "expert_count", "embedding_length", "feed_forward_length",
    "key_length", "value_length", "vocab_size",
)  # fmt: skip
"""Keys that say how large the model is: none is larger than its largest tensor and their number together."""


class Malformed(Exception):
    """What is wrong with a header."""


def refuse_header(file: Path, fix: str) -> None:
    """UserError for a header that is cut off, claims more than the file holds, or describes another model."""
    with file.open("rb") as content:
        try:
            _walk(content, file.stat().st_size)
        except (Malformed, struct.error, UnicodeDecodeError) as e:
            said = e if isinstance(e, Malformed) else "it is cut off"
            raise UserError(f"model {file}: its header does not fit the file ({said})", fix) from None


def _walk(content: BinaryIO, size: int) -> None:
    magic, version, tensors, keys = struct.unpack("<4sIQQ", content.read(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise Malformed(f"it begins with {magic!r} and version {version}, expected GGUF 2 or 3, little-endian")
    if tensors * 24 + keys * 13 > size:
        raise Malformed(f"{tensors:,} tensors and {keys:,} keys in {size:,} bytes")
    numbers = dict(_keys(content, keys))
    largest = max(_dimensions(content, tensors), default=0)
    for key, value in numbers.items():
        if key.endswith(PARTS) and value > largest + tensors:
            raise Malformed(f"{readable(key)} is {value:,}, its {tensors:,} tensors have {largest:,} rows at most")


def _keys(content: BinaryIO, keys: int) -> Iterator[tuple[str, int]]:
    """The keys whose value is one whole number."""
    for _ in range(keys):
        key, kind = _string(content).decode(), _number(content, "I")
        value = _value(content, kind)
        if isinstance(value, int):
            yield key, value


def _value(content: BinaryIO, kind: int) -> int | float | None:
    """A value; None of a string or an array, which are passed over."""
    if kind in SCALARS:
        return _number(content, SCALARS[kind])
    if kind == STRING:
        _string(content)
    elif kind == ARRAY:
        of, count = _number(content, "I"), _number(content, "Q")
        if count > MANY or of not in (*SCALARS, STRING):
            raise Malformed(f"an array of {count:,} values of type {of}")
        if of == STRING:
            for _ in range(int(count)):
                _string(content)
        else:
            _skip(content, int(count) * struct.calcsize(f"<{SCALARS[int(of)]}"))
    else:
        raise Malformed(f"a value of type {kind}")
    return None


def _dimensions(content: BinaryIO, tensors: int) -> Iterator[int]:
    for _ in range(tensors):
        _string(content)
        if (count := _number(content, "I")) > 8:
            raise Malformed(f"a tensor of {count:,} dimensions")
        yield from struct.unpack(f"<{count}Q", content.read(8 * int(count)))
        _skip(content, 12)  # type, offset


def _number(content: BinaryIO, form: str) -> int:
    (value,) = struct.unpack(f"<{form}", content.read(struct.calcsize(f"<{form}")))
    return value  # type: ignore[no-any-return]


def _string(content: BinaryIO) -> bytes:
    if (length := _number(content, "Q")) > LONGEST:
        raise Malformed(f"a text of {length:,} bytes")
    text = content.read(length)
    if len(text) < length:
        raise Malformed("it is cut off")
    return text


def _skip(content: BinaryIO, length: int) -> None:
    if len(content.read(length)) < length:
        raise Malformed("it is cut off")
