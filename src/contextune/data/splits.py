"""Which documents are kept out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from collections.abc import Sequence as Seq

from contextune.core.errors import UserError

from .documents import Document


def split(documents: Seq[Document], share: float, seed: int) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """(train, held out), both in the order given; about `share` of the documents are held out.

    Each document's side hangs on its id and the seed alone, so that rows added later move no other
    row. Duplicates, told by their normal form, go by the id of the first of them: what is trained on is not held out.
    At least one document stands on either side; UserError where fewer than two differ.
    """
    if not share:
        return tuple(documents), ()
    out = held_out([(d.same, d.id) for d in documents], share, seed)
    pairs = list(zip(documents, out, strict=True))
    return tuple(d for d, held in pairs if not held), tuple(d for d, held in pairs if held)


def held_out(names: Seq[tuple[Hashable, str]], share: float, seed: int) -> list[bool]:
    """Whether each document is held out, given its normal form (or a hash of it) and its id. Raises UserError."""
    if not share:
        return [False] * len(names)
    first: dict[Hashable, str] = {}
    keys = [first.setdefault(same, id) for same, id in names]
    place = {key: place_of(key, seed) for key in keys}
    if len(place) < 2:
        raise UserError(
            f"held_out is {share}, but there are {len(place)} different documents to divide",
            "remove held_out, or give the source more documents",
        )
    out = {key for key in place if place[key] < share} or {min(place, key=lambda k: place[k])}
    if len(out) == len(place):
        out.discard(max(place, key=lambda k: place[k]))
    return [key in out for key in keys]


def place_of(key: str, seed: int) -> float:
    """A uniform number in [0, 1) that is the same in every process."""
    raw = hashlib.blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 2**64
