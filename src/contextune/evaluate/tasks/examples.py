"""Solved examples for the contexts of test items: from a recipe's source, or from rows read like the task's own."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contextune.core.errors import UserError, nearest
from contextune.core.items import Item

from .same_question import bare, normal

__all__ = ["Example", "bare", "normal", "of_items", "of_records", "pool"]

if TYPE_CHECKING:
    from contextune.core.sequence import Record
    from contextune.data.options import Source

    from .specs import PoolSpec, Spec


@dataclass(frozen=True, slots=True)
class Example:
    """`prompt`, `lead` and `answer` stand in a context one after the other; `input` is what is compared."""

    id: str
    input: str
    prompt: str
    answer: str
    lead: str = " "
    document: str = ""
    of: str = ""
    """The id of what it is a paraphrase of, where it says so."""

    @property
    def text(self) -> str:
        return self.prompt + self.lead + self.answer

    def answering(self, answer: str) -> Example:
        return replace(self, answer=answer)


def of_records(records: Seq[Record], where: str) -> list[Example]:
    """Pairs as they are trained on. UserError where a record is no context followed by an answer."""
    prompts = []
    for record in records:
        roles = [s.role for s in record.segments]
        if roles != ["context", "target"]:
            found = "a conversation or several parts" if "context" in roles else "a text"
            raise UserError(
                f"{where}: {record.origin or record.id}: {found}, expected a pair", "name a source of pairs"
            )
        prompts.append(record.segments[0].text)
    made = []
    for record, prompt, asked in zip(records, prompts, bare(prompts), strict=True):
        said = record.segments[1].text
        lead = said[: len(said) - len(said.lstrip())]
        given = str(record.fields.get("input") or asked)
        of = str(record.fields.get("paraphrase_of") or "")
        made.append(Example(record.id, given, prompt, said.strip(), lead, record.document, of))
    return made


def of_items(items: Seq[Item], lead: str = " ") -> list[Example]:
    """Items of a task, solved; an option brings the space before it."""
    inputs = bare([i.prompt for i in items])
    before = [i.gold[: -len(i.gold.lstrip())] if isinstance(i.answer, int) else lead for i in items]
    return [
        Example(i.id, str(i.fields.get("input", asked)), i.prompt, i.gold.strip(), space)
        for i, asked, space in zip(items, inputs, before, strict=True)
    ]


def pool(
    spec: Spec, wanted: str | PoolSpec, folder: Path, where: str, sources: Mapping[str, Source], base: Path
) -> tuple[Example, ...]:
    """The examples of a task's pool: a source of the recipe by name, or a file read with the task's own templates.

    `folder` is the task's, `base` the recipe's. Raises UserError where there is none or it cannot be read.
    """
    from . import building
    from .specs import PoolSpec

    named = PoolSpec(source=wanted) if isinstance(wanted, str) and wanted in sources else wanted
    if isinstance(named, str):
        if not (base / Path(named).expanduser()).exists():
            hint = nearest(named, sources) if sources else ""
            raise UserError(f"{where}: pool: '{named}' is neither a source in data nor a file", hint)
        named = PoolSpec(path=str((base / Path(named).expanduser()).resolve()))
    if named.source is not None:
        return tuple(of_records(_records(named, sources, base, where), f"{where}: pool"))
    own = {"description": "", "chat": None, "graded": None, "pool": None, "limit": named.limit, "skip": named.skip}
    if named.path is not None:
        own |= {"path": named.path, "hub": None, "rows": None, "local": ""}
    if named.split is not None:
        own |= {"split": named.split}
    reader = spec.model_copy(update=own)
    return tuple(of_items(building.build(reader, folder, None, f"{where}: pool").items, spec.fewshot.before_answer))


def _records(named: PoolSpec, sources: Mapping[str, Source], base: Path, where: str) -> list[Record]:
    from contextune.data import load

    name = str(named.source)
    if name not in sources:
        raise UserError(f"{where}: pool: there is no source '{name}' in data", nearest(name, sources))
    source = sources[name]
    if source.world is None and source.kind != "pairs":
        raise UserError(f"{where}: pool: data.{name} holds {source.kind}, expected pairs", "name a source of pairs")
    documents = load(source, base).documents
    records = [
        r for d in documents for r in (d.records or (_pair(d.id, d.prompt, source.separator + d.completion, d.fields),))
    ]
    return records[named.skip : None if named.limit is None else named.skip + named.limit]


def _pair(id: str, prompt: str, answer: str, fields: Mapping[str, object]) -> Record:
    from contextune.core.sequence import Record, Segment

    return Record(id, (Segment(prompt, "context"), Segment(answer, "target")), id, True, "", fields)
