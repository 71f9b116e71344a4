"""Sources of records: read, check, split; then chunk or render into what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from contextune.core.errors import UserError, nearest, together
from contextune.core.sequence import Record
from contextune.core.world import world_of

from . import hashing, paths, readers, splits
from .documents import Document, Maker

if TYPE_CHECKING:
    from contextune.data.options import Source

__all__ = ["Document", "Documents", "load"]


@dataclass(frozen=True, slots=True)
class Documents:
    """What a source holds, divided in `documents` (to train on) and `held_out`."""

    documents: tuple[Document, ...]
    held_out: tuple[Document, ...]
    read: int
    """Documents in all."""
    repeated: tuple[str, ...]
    """Documents that say what an earlier one says, in the normal form, each with that one; they are kept."""
    characters: int
    files: int
    """Files that were read."""
    passed_over: tuple[str, ...]
    """Files that were not, with the reason where it is not the suffix."""
    fingerprint: str
    """Changes with any content, its order, and every option that decides what is learned from it."""

    @property
    def duplicates(self) -> int:
        return len(self.repeated)

    @property
    def ignored(self) -> int:
        return len(self.passed_over)


def load(source: Source, folder: Path, seed: int = 0) -> Documents:
    """Read a source whole. Paths are relative to `folder` (the recipe's).

    Raises UserError that names file and row, what was found and what was expected.
    """
    _refuse_unused(source)
    files = paths.find(source, folder) if source.path is not None else paths.FoundFiles((), ())
    made = islice(_world(source), source.limit) if source.world is not None else _read(source, files.files)
    found = list(made)
    _refuse_twice(found)
    train, held_out = splits.split(found, source.held_out, seed)
    contents = [d.content for d in found]
    return Documents(
        documents=train,
        held_out=held_out,
        read=len(found),
        repeated=tuple(_repeated(found)),
        characters=sum(len(part) for d in found for part in d.parts),
        files=len(files.files),
        passed_over=files.ignored,
        fingerprint=hashing.digest(_options(source, seed), *map(_identity, found, contents)),
    )


def _read(source: Source, files: tuple[paths.File, ...]) -> Iterator[Document]:
    """The documents of all files, as many as the source's limit; the faults of all bad files are told at once."""
    maker, left, bad = Maker(source), source.limit, list[UserError]()
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


def _identity(document: Document, content: str) -> tuple[object, ...]:
    """All of a document that a record or a context policy may depend on. Its place in the file system is not."""
    made = [(r.id, r.ends, dict(r.fields)) for r in document.records]
    return document.id, content, dict(document.fields), made


def _options(source: Source, seed: int) -> dict[str, object]:
    """What decides the records beside the documents. Columns and template show in the documents."""
    options = source.model_dump(include={"kind", "separator", "chunk", "overlong", "held_out"})
    return options | ({"seed": seed} if source.held_out else {})


def _refuse_twice(documents: list[Document]) -> None:
    seen: dict[str, str] = {}
    for document in documents:
        if document.id in seen:
            raise UserError(
                f"{document.origin}: the id '{document.id}' is already at {seen[document.id]}",
                "make ids unique, or name another column: columns: {id: …}",
            )
        seen[document.id] = document.origin


def _refuse_unused(source: Source) -> None:
    """An option without effect is an error: whoever wrote it expects one."""
    file, hub, world = source.path is not None, source.hub is not None, source.world is not None
    effective = {
        "options": world,
        "config": hub,
        "split": hub or world,
        "format": file,
        "kind": not world,
        "columns": not world,
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
