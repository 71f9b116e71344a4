"""A corpus is read by one process and cut by all cores, batch by batch; memory holds no more than a few batches.

What is hashed, divided and said of it is what `data.load`, `records` and `lengths` give for the same source.
"""

from __future__ import annotations

import hashlib
import json
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from contextune.core.encoding import joins
from contextune.core.errors import UserError
from contextune.core.files import write_sealed
from contextune.core.parallel import mapped
from contextune.core.progress import every

from . import twice
from .documents import Document
from .hashing import Digest, plain
from .identity import deciding, identity
from .records import Cut, Note, chunk_size, cut, hashed, marks_of, notes_of, refuse_long
from .splits import held_out, validated
from .stored import DOCUMENTS, RECORDS, StoredDocuments, StoredRecords, document_row, record_rows
from .token_counts import Length, lengths

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from contextune.data.options import Source

_JSON = json.JSONEncoder(ensure_ascii=False)
BATCH = 1 << 21
"""Characters that one process cuts at a time."""


@dataclass(frozen=True)
class Job:
    source: Source
    tokenizer: Tokenizer
    budget: int


@dataclass(frozen=True)
class Batch:
    """What one process has made of some documents; lists have an item a document."""

    documents: Any
    records: Any
    characters: int
    identities: Seq[bytes]
    sames: Seq[bytes]
    notes: Seq[Note]
    faults: Seq[tuple[str, str] | None]
    """What `cut` refuses: an error where the document is trained on."""
    sizes: Seq[Seq[int]]
    """Of each record, where records are not cut."""
    plain: Seq[Seq[str]]
    """Of each record the JSON text that is hashed."""


def prepare(job: Job, batch: tuple[list[Document], int]) -> Batch:
    """Cut a batch: documents, and the number of the first."""
    docs, first = batch
    rows, records = list[dict[str, Any]](), list[dict[str, Any]]()
    faults, cuts = list[tuple[str, str] | None](), list[Cut]()
    size = chunk_size(job.source, job.budget)
    for place, document in enumerate(docs, first):
        rows.append(document_row(document))
        try:
            made, fault = cut(document, job.source, job.tokenizer, size), None
        except UserError as e:
            made, fault = Cut((), (), Note()), (e.message, e.hint)
        cuts.append(made)
        faults.append(fault)
        records += record_rows(place, made, _lengths(made, job.tokenizer))
    return Batch(
        pa.RecordBatch.from_pylist(rows, DOCUMENTS), pa.RecordBatch.from_pylist(records, RECORDS),
        sum(len(part) for d in docs for part in d.parts),
        [plain(identity(d, d.content)) for d in docs], [bytes.fromhex(d.same) for d in docs],
        [c.note for c in cuts], faults, [() if size is not None else c.sizes for c in cuts],
        [[_plain(r) for r in c.records] for c in cuts],
    )  # fmt: skip


def _lengths(made: Cut, tokenizer: Tokenizer) -> list[Length]:
    """Those of pieces are known, unless a text has other ids elsewhere."""
    if made.spans and not joins(tokenizer) and not any(s.markup for r in made.records[:1] for s in r.segments):
        return [Length(0, n, True) for n in made.sizes]
    return lengths(made.records, tokenizer)


def _plain(record: Any) -> str:
    """As `experiment.prepare.data.Data.digest` writes it."""
    return _JSON.encode(hashed(record))


@dataclass
class _Seen:
    """What must be known of all documents together."""

    names: list[tuple[bytes, str]] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    sames: dict[bytes, int] = field(default_factory=dict)
    repeated: list[tuple[int, int]] = field(default_factory=list)
    twice: tuple[int, int] | None = None

    def add(self, id: str, same: bytes) -> None:
        place = len(self.names)
        origin = self.sames.setdefault(same, place)
        if origin != place:
            same = self.names[origin][0]  # one object for all that are the same
            self.repeated.append((place, origin))
        self.names.append((same, id))
        if (first := self.ids.setdefault(id, place)) != place and self.twice is None:
            self.twice = place, first


def build(
    part: Path,
    job: Job,
    documents: Iterable[Document],
    seed: int,
    say: Callable[[str], None],
    size: int,
    read_as: Callable[[], str],
) -> None:
    """Write a prepared corpus into the folder `part`; `size` is what its files hold, in bytes, for the progress;
    `read_as` says, when all are read, by which schema.

    Raises UserError as `load` and `records` do, and stored.Unkept.
    """
    digest, seen, characters = Digest(), _Seen(), 0
    digest.add(plain(deciding(job.source, seed)))
    notes, faults = list[Note](), dict[int, tuple[str, str]]()
    sizes, counts = array("q"), array("q")
    tell = _progress(say, size)
    with _writer(part / "documents.arrow", DOCUMENTS) as docs, _writer(part / "records.arrow", RECORDS) as records, \
            (part / "plain.tmp").open("w", encoding="utf-8", errors="surrogatepass") as texts:  # fmt: skip
        for batch in mapped(partial(prepare, job), _batches(documents)):
            docs.write_batch(batch.documents)
            records.write_batch(batch.records)
            characters += batch.characters
            for i, id in enumerate(batch.documents.column("id").to_pylist()):
                if (fault := batch.faults[i]) is not None:
                    faults[len(seen.names)] = fault
                seen.add(id, batch.sames[i])
                digest.add(batch.identities[i])
                notes.append(batch.notes[i])
                sizes.extend(batch.sizes[i])
                counts.append(len(batch.plain[i]))
                texts.writelines(line + "\n" for line in batch.plain[i])
            tell(characters)
    found = StoredDocuments(part / "documents.arrow")
    if seen.twice:
        raise twice(found[seen.twice[0]], found[seen.twice[1]].origin)
    held = held_out(seen.names, job.source.held_out, seed)
    validation = validated(seen.names, job.source.validation, held, job.source.held_out, seed)
    apart = np.array(held, np.bool_) | np.array(validation, np.bool_)
    for place, (message, hint) in faults.items():
        if not apart[place]:
            raise UserError(message, hint)
    notes = [n for n, out in zip(notes, apart, strict=True) if not out]
    taught = np.repeat(~apart, np.frombuffer(counts, np.int64) if len(counts) else [])
    kept, overlong = _kept(part, job, found, taught, np.frombuffer(sizes, np.int64) if len(sizes) else None)
    out, tried, trained = map(np.flatnonzero, (held, validation, kept))
    np.savez(part / "places.npz", held=out, validation=tried, kept=trained)
    write_sealed(part / "corpus.json", {
        "read": len(found), "characters": characters, "fingerprint": digest.hex(), "overlong": overlong,
        "repeated": [f"{found[i].origin} (as {found[first].origin})" for i, first in seen.repeated],
        "read_as": read_as(), "notes": notes_of(notes, job.source, job.tokenizer),
        "digest": _digest(part / "plain.tmp", kept),
    })  # fmt: skip
    (part / "plain.tmp").unlink()


def _kept(part: Path, job: Job, documents: StoredDocuments, taught: Any, sizes: Any) -> tuple[Any, list[str]]:
    """Which records are trained on, and the ids of those of training documents that are too long. Raises UserError."""
    if sizes is None:
        return taught, []
    long = np.flatnonzero(taught & (sizes > job.budget))
    if len(long):
        made = StoredRecords(part / "records.arrow", documents, marks_of(job.source, "", job.tokenizer))
        if job.source.overlong == "error" or len(long) == taught.sum():
            refuse_long(made[int(long[0])], int(sizes[long[0]]), len(long), int(taught.sum()), job.budget)
        return taught & (sizes <= job.budget), [made[i].id for i in long.tolist()]
    return taught, []


def _digest(file: Path, kept: Any) -> str:
    """`core.files.digest` of the list of records that are trained on."""
    hasher, between = hashlib.blake2b(b"[", digest_size=16), b""
    with file.open("rb") as lines:
        for line, keep in zip(lines, kept, strict=True):
            if keep:
                hasher.update(between + line[:-1])
                between = b", "
    hasher.update(b"]")
    return hasher.hexdigest()


def _writer(file: Path, schema: Any) -> Any:
    return pa.ipc.new_file(str(file), schema)


def _batches(documents: Iterable[Document]) -> Iterator[tuple[list[Document], int]]:
    """Documents of BATCH characters, and the number of the first."""
    batch, size, first = list[Document](), 0, 0
    for document in documents:
        batch.append(document)
        size += sum(map(len, document.parts)) + 100
        if size >= BATCH:
            yield batch, first
            first += len(batch)
            batch, size = [], 0
    if batch:
        yield batch, first


def _progress(say: Callable[[str], None], size: int) -> Callable[[int], None]:
    began, is_due = time.monotonic(), every()

    def tell(characters: int) -> None:
        if is_due():
            rate = characters / (time.monotonic() - began) / 1e6
            say(f"reading and cutting: {characters / 1e6:,.0f} MB of {size / 1e6:,.0f}, {rate:.1f} MB/s")

    return tell
