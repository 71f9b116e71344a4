"""Sources of records: read, check, split; then chunk or render into what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from contextune.core.errors import UserError, nearest, together
from contextune.core.sequence import Record
from contextune.core.world import world_of

from . import hashing, paths, readers, splits
from .documents import Document, Maker
from .identity import Documents, deciding, identity

if TYPE_CHECKING:
    from contextune.data.options import Source

__all__ = ["Document", "Documents", "load"]


def load(source: Source, folder: Path, seed: int = 0) -> Documents:
    """Read a source whole. Paths are relative to `folder` (the recipe's).

    Raises UserError that names file and row, what was found and what was expected.
    """
    refuse_unused(source)
    files = paths.find(source, folder) if source.path is not None else paths.FoundFiles((), ())
    maker = Maker(source) if source.world is None else None
    made = islice(_world(source), source.limit) if maker is None else read(source, files.files, maker)
    found = list(made)
    _refuse_twice(found)
    left, held_out = splits.split(found, source.held_out, seed)
    train, validation = splits.split(left, source.validation / (1 - source.held_out), seed, "validation")
    contents = [d.content for d in found]
    return Documents(
        documents=train,
        held_out=held_out,
        validation=validation,
        read=len(found),
        repeated=tuple(_repeated(found)),
        characters=sum(len(part) for d in found for part in d.parts),
        files=len(files.files),
        passed_over=files.ignored,
        fingerprint=hashing.digest(deciding(source, seed), *map(identity, found, contents)),
        read_as=maker.said if maker else "",
    )


def read(source: Source, files: tuple[paths.File, ...], maker: Maker) -> Iterator[Document]:
    """The documents of all files, as many as the source's limit; the faults of all bad files are told at once."""
    left, bad = source.limit, list[UserError]()
    for part in readers.parts(source, files):
        try:
            for document in map(maker, islice(part, left)):
                left = None if left is None else left - 1
                yield document
        except UserError as e:
            bad.append(e)
        if left == 0:
            break
    if bad:
        raise together(bad)


def _repeated(documents: list[Document]) -> Iterator[str]:
    first: dict[str, str] = {}
    for document in documents:
        if (origin := first.setdefault(document.same, document.origin)) != document.origin:
            yield f"{document.origin} (as {origin})"


def _world(source: Source) -> Iterator[Document]:
    """The records of a generated benchmark, one document for all that were cut from the same text."""
    name = str(source.world)
    records = world_of(name, **source.options).records
    if not records.get(source.split):
        raise UserError(
            f"world '{name}': no records '{source.split}'", nearest(source.split, filter(records.get, records))
        )
    groups: dict[str, list[Record]] = {}
    for record in records[source.split]:
        groups.setdefault(record.document or record.id, []).append(record)
    for id, group in groups.items():
        yield Document(id, group[0].origin or f"{name}:{id}", records=tuple(group))


def _refuse_twice(documents: list[Document]) -> None:
    seen: dict[str, str] = {}
    for document in documents:
        if document.id in seen:
            raise twice(document, seen[document.id])
        seen[document.id] = document.origin


def twice(document: Document, first: str) -> UserError:
    """Of an id that was there before."""
    return UserError(
        f"{document.origin}: the id '{document.id}' is already at {first}",
        "make ids unique, or name another column: columns: {id: …}",
    )


def refuse_unused(source: Source) -> None:
    """An option without effect is an error: whoever wrote it expects one."""
    file, hub, world = source.path is not None, source.hub is not None, source.world is not None
    effective = {
        "options": world,
        "config": hub,
        "split": hub or world,
        "format": file,
        "kind": not world,
        "columns": not world,
        "read_as": not world and source.kind != "text",
        "template": not world and source.kind == "pairs",
        "separator": not world and source.kind == "pairs",
        "chunk": not world and source.kind == "text",
    }
    for name, useful in effective.items():
        if not useful and getattr(source, name) != type(source).model_fields[name].get_default():
            origin = "path" if file else "hub" if hub else "world"
            kind = "" if world else f" and kind {source.kind}"
            raise UserError(
                f"the option '{name}' has no effect on a source of {origin}{kind}",
                "set kind: pairs" if name in ("template", "separator") and not world else "remove it",
            )
