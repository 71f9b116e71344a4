"""A prepared corpus on disk: documents and records in Arrow files, mapped into memory, made when they are asked for.

    documents.arrow   id, origin, text, prompt, completion, messages, fields, rejected (the last three JSON)
    records.arrow     document, number, begin, end, ends, context, target, opens, made
    places.npz        held: documents held out; kept: records to train on

A record that was cut from a text is the place where it begins and ends there; any other one is kept whole (`made`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contextune.core.encoding import Markup
from contextune.core.lazy import Lazy, View
from contextune.core.sequence import Record, Segment

from .documents import Document
from .records import Cut, whole
from .records import piece as piece_of
from .token_counts import Length

DOCUMENTS = pa.schema([(n, pa.string()) for n in "id origin text prompt completion messages fields rejected".split()])  # noqa: SIM905
RECORDS = pa.schema(
    [(n, pa.int32()) for n in ("document", "number", "begin", "end", "context", "target")]
    + [("ends", pa.bool_()), ("opens", pa.bool_()), ("made", pa.string())]
)
WHOLE = -1
"""The number of a record that is all of its document's text."""
NEAR = 8
"""Documents that are kept decoded."""


class Unkept(Exception):
    """A value that JSON would not give back as it is."""


def document_row(document: Document) -> dict[str, Any]:
    """Raises Unkept."""
    other = document.rejected if isinstance(document.rejected, str) else list(document.rejected)
    plain = {"messages": list(document.messages), "fields": dict(document.fields), "rejected": other}
    text = {name: _json(value, document) if value else None for name, value in plain.items()}
    return {
        "id": document.id, "origin": document.origin, "text": document.text, "prompt": document.prompt,
        "completion": document.completion, **text,
    }  # fmt: skip


def _json(value: Any, document: Document) -> str:
    with suppress(TypeError, ValueError):
        text = json.dumps(value)
        if json.loads(text) == value:
            return text
    raise Unkept(document.origin)


def record_rows(place: int, cut: Cut, lengths: Seq[Length]) -> Iterator[dict[str, Any]]:
    """The rows of one document's records."""
    for number, (record, length) in enumerate(zip(cut.records, lengths, strict=True)):
        row = {
            "document": place, "number": number, "begin": 0, "end": 0, "ends": record.ends, "context": length.context,
            "target": length.target, "opens": length.opens_with_target, "made": None,
        }  # fmt: skip
        if cut.spans:
            begin, end = cut.spans[number]
            yield row | {"begin": begin, "end": end}
        elif cut.whole:
            yield row | {"number": WHOLE}
        else:
            yield row | {"made": json.dumps([record.id, _plain(record.segments), _plain(record.rejected)])}


def _plain(segments: Seq[Segment]) -> list[Any]:
    return [[s.text, s.role, sorted(s.markup) if isinstance(s.markup, frozenset) else s.markup] for s in segments]


def _segments(plain: Seq[Any]) -> tuple[Segment, ...]:
    return tuple(Segment(t, role, markup=frozenset(m) if isinstance(m, list) else m) for t, role, m in plain)


def table(file: Path) -> Any:
    """An Arrow file as it lies on the disk."""
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


class StoredDocuments(Lazy[Document]):
    def __init__(self, file: Path) -> None:
        found = table(file)
        self.size = found.num_rows
        self.columns = [found[name] for name in DOCUMENTS.names]
        self.near: dict[int, Document] = {}

    def __len__(self) -> int:
        return int(self.size)

    def item(self, place: int) -> Document:
        document = self.near.get(place)
        if document is None:
            id, origin, text, prompt, completion, messages, fields, other = (c[place].as_py() for c in self.columns)
            said = tuple(json.loads(messages)) if messages else ()
            rejected = json.loads(other) if other else [] if said else ""
            document = Document(
                id, origin, text, prompt, completion, said, json.loads(fields) if fields else {},
                rejected=tuple(rejected) if isinstance(rejected, list) else rejected,
            )  # fmt: skip
            while len(self.near) >= NEAR:
                del self.near[next(iter(self.near))]
            self.near[place] = document
        return document


class StoredRecords(Lazy[Record]):
    """The records of a corpus; `marks` are the control tokens of a text's segments."""

    def __init__(self, file: Path, documents: StoredDocuments, marks: Markup) -> None:
        found = table(file)
        self.columns: Mapping[str, NDArray[Any]] = {
            name: found[name].to_numpy() for name in RECORDS.names if name != "made"
        }
        self.made, self.documents, self.marks = found["made"], documents, marks

    def __len__(self) -> int:
        return len(self.columns["document"])

    def item(self, place: int) -> Record:
        document, number, begin, end = (int(self.columns[n][place]) for n in ("document", "number", "begin", "end"))
        source, ends = self.documents.item(document), bool(self.columns["ends"][place])
        if number == WHOLE:
            return whole(source, self.marks)
        if end:
            return piece_of(source, number, begin, end, ends, self.marks)
        id, segments, rejected = json.loads(self.made[place].as_py())
        made, other = _segments(segments), _segments(rejected)
        return Record(id, made, source.id, ends, source.origin, source.fields, rejected=other)


class StoredLengths(Lazy[Length]):
    def __init__(self, records: StoredRecords) -> None:
        self.columns = [records.columns[name] for name in ("context", "target", "opens")]

    def __len__(self) -> int:
        return len(self.columns[0])

    def item(self, place: int) -> Length:
        context, target, opens = (column[place] for column in self.columns)
        return Length(int(context), int(target), bool(opens))


def chosen(items: Lazy[Any], places: NDArray[np.int64]) -> Lazy[Any]:
    """These of all items; themselves where all are chosen."""
    return items if len(places) == len(items) else View(items, places)
