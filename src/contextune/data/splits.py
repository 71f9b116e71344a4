"""Which documents are kept out of training."""

from __future__ import annotations

import hashlib
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
    first: dict[str, str] = {}
    keys = [first.setdefault(d.same, d.id) for d in documents]
    place = {key: _place(key, seed) for key in keys}
    if len(place) < 2:
        raise UserError(
            f"held_out is {share}, but there are {len(place)} different documents to divide",
            "remove held_out, or give the source more documents",
        )
    out = {key for key in place if place[key] < share} or {min(place, key=lambda k: place[k])}
    if len(out) == len(place):
        out.discard(max(place, key=lambda k: place[k]))
    train = tuple(d for d, key in zip(documents, keys, strict=True) if key not in out)
    return train, tuple(d for d, key in zip(documents, keys, strict=True) if key in out)


def _place(key: str, seed: int) -> float:
    """A uniform number in [0, 1) that is the same in every process."""
    raw = hashlib.blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 2**64
