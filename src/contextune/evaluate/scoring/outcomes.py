"""What came of each item: one parquet file an arm, seed and task. Every number in a report is recomputed from these."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError, first_line
from contextune.core.files import digest, replacing
from contextune.core.items import Item, Task

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("arm", "seed", "task", "item", "measure", "kind", "prompt_hash", "gold", "predicted", "correct"),
    *("options", "sums", "tokens", "bytes", "output", "fields", "cluster", "deaf"),
)
KEY = b"contextune"
"""Of the schema's metadata: JSON about the task."""
SUM = "sum"
"""Key in that JSON: a hash of all the rest of it and of the rows."""


def schema() -> pa.Schema:
    """Columns and types, in order.

    Null: `correct`, `gold` and `predicted` of perplexity, `output` unless generated, and `deaf` (`correct` of the
    answer to the prompt without its context) where there is no context.
    """
    import pyarrow as pa

    kinds = {
        pa.string(): "arm task item measure kind prompt_hash gold predicted output fields cluster",
        pa.int64(): "seed",
        pa.float64(): "correct deaf",
        pa.list_(pa.string()): "options",
        pa.list_(pa.float64()): "sums",
        pa.list_(pa.int64()): "tokens bytes",
    }
    of = {name: kind for kind, names in kinds.items() for name in names.split()}
    return pa.schema([(name, of[name]) for name in COLUMNS])


def prompt_hash(prompt: str) -> str:
    return hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()


def table(
    task: Task, rows: Seq[Mapping[str, Any]], arm: str, seed: int, floors: Mapping[str, float] = MappingProxyType({})
) -> pa.Table:
    """The outcomes of a task: `rows` hold what was found for each item, in order; the rest is the task's.

    `floors` are what the task gives to who has learned nothing (floors.py). A row's `cut`, the tokens that a prompt
    lost for its length, goes into the item's `fields`, and so do its `notes`.
    """
    import pyarrow as pa

    empty = {"gold": None, "predicted": None, "correct": None, "output": None, "deaf": None}
    lists: dict[str, list[Any]] = {"options": [], "sums": [], "tokens": [], "bytes": []}
    common = {"arm": arm, "seed": seed, "task": task.name, "measure": task.measure, "kind": task.kind}
    full = [
        {**empty, **lists, **common, "item": item.id, "prompt_hash": prompt_hash(item.prompt)}
        | {"cluster": prompt_hash(item.resampled_with)}
        | {k: v for k, v in row.items() if k not in ("cut", "notes")}
        | {"fields": _fields(item, row.get("cut", 0), row.get("notes", {}))}
        for item, row in zip(task.items, rows, strict=True)
    ]
    about = {k: getattr(task, k) for k in ("name", "kind", "metric", "measure", "chance", "about")}
    first = task.items[0].prompt if task.items else ""
    about |= {"prompt": first, "prompt_hash": prompt_hash(first), "floors": dict(floors)}
    return pa.Table.from_pylist(full, schema=schema().with_metadata({KEY: json.dumps(about).encode()}))


def _fields(item: Item, cut: int, notes: Mapping[str, Any]) -> str:
    """JSON of the item's fields; `cut` among them where the prompt lost that many tokens."""
    return json.dumps({**item.fields, **notes, **({"cut": cut} if cut else {})}, ensure_ascii=False)


def about(outcomes: pa.Table) -> dict[str, Any]:
    """What the file says of its task: name, kind, metric, measure, chance, about, first prompt and its hash."""
    found = json.loads(outcomes.schema.metadata[KEY])
    assert isinstance(found, dict)
    found.pop(SUM, None)
    return found


def file_name(arm: str, seed: int, task: str) -> str:
    return f"{arm}.seed-{seed}.{task}.parquet"


_NAMED = re.compile(r"\.seed-\d+\..+\.parquet$")


def arm_of(file: Path) -> str:
    """The arm that a file says it is of; names of files do not tell, as arms and tasks may hold dots and dashes."""
    return str(read(file)["arm"][0])


def write(file: Path, outcomes: pa.Table) -> Path:
    """The file is whole or absent: it is written beside its place and moved there."""
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    said = about(outcomes)
    sealed = json.dumps({**said, SUM: _sum(said, outcomes)}).encode()
    with replacing(file) as part:
        pq.write_table(outcomes.replace_schema_metadata({KEY: sealed}), part)
    return file


def _sum(said: Mapping[str, Any], outcomes: pa.Table) -> str:
    return digest([said, outcomes.to_pydict()])


def fault(file: Path) -> str:
    """What is wrong with a file of outcomes; "" where it holds what was written."""
    try:
        read(file)
    except UserError as e:
        return e.message.removeprefix(f"{file}: ") if file.exists() else "gone"
    return ""


def read(file: Path) -> pa.Table:
    """Raises UserError where a file is not outcomes of this version, or holds something else than was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    hint = "delete it; the run scores it again" if _NAMED.search(file.name) else "no run wrote it: move it away"
    try:
        found = pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError, ValueError) as e:
        raise UserError(f"{file}: not readable ({first_line(e)})", hint) from None
    lacking = [c for c in schema().names if c not in found.schema.names]
    if lacking or KEY not in (found.schema.metadata or {}) or not found.num_rows:
        what = f"no column {lacking[0]}" if lacking else "no rows" if not found.num_rows else "no word of its task"
        raise UserError(f"{file}: not outcomes of contextune ({what})", hint)
    try:
        said = json.loads(found.schema.metadata[KEY])
        whole = said.pop(SUM, None) in (None, _sum(said, found))  # earlier versions wrote none
    except (ValueError, AttributeError):
        whole = False
    if not whole:
        raise UserError(f"{file}: damaged (its checksum is another)", hint)
    of = file_name(*(found[column][0].as_py() for column in ("arm", "seed", "task")))
    if _NAMED.search(file.name) and file.name != of:
        raise UserError(f"{file}: holds the outcomes of {of}", hint)
    return found
