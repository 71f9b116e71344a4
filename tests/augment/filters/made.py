"""Inferred texts, and what filters are bound to, for tests of filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contextune.augment.base import Inferred, Passage
from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record, Segment

SOURCE = "people say that Kalo is brighter than Mido."


def record(id: str, text: str) -> Record:
    return Record(id, (Segment(text, "target"),), id)


def made(text: str, source: str = SOURCE, operation: str = "reversal/1", prompt: str = "", read: str = "") -> Inferred:
    return Inferred(text, Passage(source, source, source), operation, prompt, (), read)


def context(*records: str, **given: Any) -> BindContext:
    return BindContext(None, [record(f"r{i}", r) for i, r in enumerate(records or (SOURCE,))], **given)  # type: ignore[arg-type]


def judge(name: str, texts: Sequence[Inferred], on: BindContext | None = None, **options: Any) -> list[str]:
    """The reason of each text, "" where it stays, without what stands behind a colon."""
    filter = registry.filters.find(name).model_validate({"filter": name, **options})
    return [reason.partition(": ")[0] for reason in filter.bind(on or context())(texts)]
