"""Which documents are kept out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from collections.abc import Sequence as Seq

from contextune.core.errors import UserError

from .documents import Document


def split(
    documents: Seq[Document], share: float, seed: int, option: str = "held_out"
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """(train, held out), both in the order given; about `share` of the documents are held out.

    Each document's side hangs on its id and the seed alone, so that rows added later move no other
    row. Duplicates, told by their normal form, go by the id of the first of them: what is trained on is not held out.
    At least one document stands on either side; UserError where fewer than two differ.
    """
    if not share:
        return tuple(documents), ()
    out = held_out([(d.same, d.id) for d in documents], share, seed, option)
    pairs = list(zip(documents, out, strict=True))
    return tuple(d for d, held in pairs if not held), tuple(d for d, held in pairs if held)


def validated(names: Seq[tuple[Hashable, str]], share: float, held: Seq[bool], of_held: float, seed: int) -> list[bool]:
    """Whether each document is one to validate on, given which are held out, a share `of_held`. Raises UserError."""
    rest = [name for name, out in zip(names, held, strict=True) if not out]
    chosen = iter(held_out(rest, share / (1 - of_held), seed, "validation"))
    return [not out and next(chosen) for out in held]


def held_out(names: Seq[tuple[Hashable, str]], share: float, seed: int, option: str = "held_out") -> list[bool]:
    """Whether each document is held out, given its normal form (or a hash of it) and its id. Raises UserError.

    Each `option` of a source that holds documents out draws its own.
    """
    if not share:
        return [False] * len(names)
    first: dict[Hashable, str] = {}
    keys = [first.setdefault(same, id) for same, id in names]
    salt = seed if option == "held_out" else f"{seed} {option}"
    place = {key: place_of(key, salt) for key in keys}
    if len(place) < 2:
        raise UserError(
            f"{option} is {share:g}, but there are {len(place)} different documents to divide",
            f"remove {option}, or give the source more documents",
        )
    out = {key for key in place if place[key] < share} or {min(place, key=lambda k: place[k])}
    if len(out) == len(place):
        out.discard(max(place, key=lambda k: place[k]))
    return [key in out for key in keys]


def place_of(key: str, salt: int | str) -> float:
    """A uniform number in [0, 1) that is the same in every process."""
    raw = hashlib.blake2b(f"{salt}\x1f{key}".encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 2**64
