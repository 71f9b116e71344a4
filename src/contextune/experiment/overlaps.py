"""Test items in the training texts: what was asked before it is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import asdict
from itertools import chain

from contextune.core import cache
from contextune.core.errors import UserError
from contextune.core.files import digest
from contextune.core.items import Item
from contextune.core.lazy import Lazy, chained
from contextune.core.sequence import Record
from contextune.data.contamination import Hit, Overlap, overlap, wordings
from contextune.data.records import hashed

from .prepare import Prepared


def refuse_overlap(prepared: Prepared) -> Overlap:
    """Test items in the training texts: an error, or a warning that the report repeats where the recipe allows it."""
    found = overlaps(prepared)
    if found.ids:
        shown = ", ".join(found.ids[:5])
        where = "training or validation texts" if _validated(prepared) else "training texts"
        message = f"{len(found.ids)} test items occur in the {where} (13-gram overlap), e.g. {shown}"
        if not prepared.recipe.allow_overlap:
            raise UserError(
                message, "remove them from the data, or set allow_overlap: true to run all the same and report it"
            )
        prepared.warnings.append(message)
    return found


def overlaps(prepared: Prepared) -> Overlap:
    """Test items that occur in the training texts.

    What is asked as it was taught (`learn`, or the task's field `taught`) is meant to.
    """
    items = [
        (f"{task.name}:{item.id}", wording)
        for task in prepared.tasks
        if task.measure != "learn" and not task.fields.get("taught") and task.kind != "perplexity"
        for item in task.items
        if "wording" not in item.fields
        # a world's prompts hold taught statements on purpose, where it asks in context
        # without the examples of a context, which may be those trained on
        for wording in (_last(item) if "world" in task.fields else wordings(_asked(item), item.gold))
    ]
    return _overlap(prepared, items) + _questions(prepared)


def _overlap(prepared: Prepared, items: list[tuple[str, str]], n: int = 13) -> Overlap:
    """Of all records, those that are validated on too; kept, where a large source is among them."""
    names, apart = sorted(prepared.records), [prepared.validation(name) for name in _validated(prepared)]
    texts = _Taught(chained([*(prepared.records[name].records for name in prepared.records), *apart]))
    if not items or not any(map(prepared.large, names)):
        return overlap(iter(texts), items, n)
    more = [[hashed(r) for r in records] for records in apart]
    key = digest([FORMAT, n, [prepared.digest(name) for name in prepared.records], items, *more])
    found = cache.remembered("overlaps", key, lambda: asdict(overlap(texts, items, n)))
    return Overlap(found["checked"], tuple(Hit(**hit) for hit in found["hits"]), tuple(found["unchecked"]))


def _validated(prepared: Prepared) -> list[str]:
    """Sources that hold texts out for the validation loss."""
    return [name for name, found in prepared.documents.items() if found.validation]


class _Taught(Lazy[tuple[str, str]]):
    """Id and text of each record."""

    def __init__(self, records: Seq[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def item(self, place: int) -> tuple[str, str]:
        record = self.records[place]
        return record.id, record.text


FORMAT = 1
"""Raised when the comparison finds something else."""
QUESTION = 64
"""Words in a row of a question that is looked for whole: more than it has."""


def _questions(prepared: Prepared) -> Overlap:
    """Items that say what of them no training text may hold (`wording`), also none that a writer made.

    An exam asks statements of the very texts that are trained on; its questions stand in none, unless they leak.
    """
    wanted = [
        (f"{task.name}:{item.id}", str(said))
        for task in prepared.tasks
        for item in task.items
        if (said := item.fields.get("wording"))
    ]
    if not wanted:
        return Overlap(0, ())
    stages = (ready.augmented for stages in prepared.arms.values() for ready in stages)
    made = ((row["id"], row["prompt"] + row["text"]) for stage in stages if stage for row in stage.rows if row["kept"])
    return overlap(chain(_taught(prepared), made), wanted, QUESTION)


def _taught(prepared: Prepared) -> Iterator[tuple[str, str]]:
    return iter(_Taught(chained([found.records for found in prepared.records.values()])))


def _last(item: Item) -> tuple[str]:
    """What a world asks: its prompt's last line, with the answer, before which a generated one has lost its space."""
    return (f"{item.prompt.rsplit(chr(10), 1)[-1]} {item.gold.strip()}",)


def _asked(item: Item) -> str:
    return str(item.fields.get("asked", item.prompt))
