"""Made texts and benches for tests of filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contextune.augment.base import Made, Passage
from contextune.augment.verify import Bench, find
from contextune.sequence import Record, Segment

SOURCE = "people say that Kalo is brighter than Mido."


def record(id: str, text: str) -> Record:
    return Record(id, (Segment(text, "target"),), id)


def made(text: str, source: str = SOURCE, operation: str = "reversal/1", prompt: str = "", read: str = "") -> Made:
    return Made(text, Passage(source, source, source), operation, prompt, (), read)


def bench(*records: str, **given: Any) -> Bench:
    return Bench([record(f"r{i}", r) for i, r in enumerate(records or (SOURCE,))], None, **given)  # type: ignore[arg-type]


def judge(name: str, texts: Sequence[Made], on: Bench | None = None, **options: Any) -> list[str]:
    """The reason of each text, "" where it stays, without what stands behind a colon."""
    filter = find(name).model_validate({"filter": name, **options})
    return [reason.partition(": ")[0] for reason in filter.bind(on or bench())(texts)]
