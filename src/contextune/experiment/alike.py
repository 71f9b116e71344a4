"""What arms are asked alike: a model and a task that two arms share, as retrieval leaves them, are scored once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contextune.core.items import Task
from contextune.evaluate.scoring import outcomes


class Wanted(NamedTuple):
    """Outcomes of a run: of an arm's model at a seed, on a task; `key` says what decides them."""

    arm: str
    seed: int
    task: Task
    key: str


def first_alike(wanted: Mapping[str, Wanted]) -> dict[str, str]:
    """For each file of outcomes, the first one that holds the same answers; it may be the file itself."""
    heads: dict[tuple[str, str], list[str]] = {}
    found: dict[str, str] = {}
    for name, one in wanted.items():
        known = heads.setdefault((one.key, one.task.name), [])
        same = next((k for k in known if wanted[k].task.items == one.task.items), None)
        if same is None:
            known.append(name)
        found[name] = same or name
    return found


def copied(folder: Path, wanted: Mapping[str, Wanted], first: Mapping[str, str], done: set[str]) -> Iterator[str]:
    """Write the files that are not done where one of the same answers is (`first_alike`); yields their names."""
    source = {first[name]: name for name in wanted if name in done}
    for name, one in wanted.items():
        if name not in done and (like := source.get(first[name])):
            outcomes.write(folder / name, _of(outcomes.read(folder / like), one))
            yield name


def _of(table: Any, one: Wanted) -> Any:
    """The same outcomes as another arm's."""
    import pyarrow as pa

    for column, value in (("arm", one.arm), ("seed", one.seed)):
        place = table.schema.get_field_index(column)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array([value] * table.num_rows, field.type))
    return table
