"""Paraphrases of a record: by the editor of its world, from a source, or by an augment operation.

auto, grammar      one part replaced in input and answer (`editing.base.Editor.vary`), anew at each draw
{source: NAME}     rows of another source whose `source` field names the record
model              one value of the input replaced, and the answer that the writer infers from the row itself
rephrase, …        an augment operation on the input, asked through the writer and its store before training
none               nobody: the nearest example takes the place
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from contextune.augment.base import Passage, parse_operation
from contextune.augment.demonstrations import copied
from contextune.core.binding import BindContext
from contextune.core.encoding import count
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment
from contextune.generation import Failure, Request
from contextune.retrieval import Pool, answer, given
from contextune.retrieval.guard import SOURCES, stem

from .editing.base import Editor, open_editor
from .editing.spans import spots
from .editing.values import Values

Answers = Literal["auto", "same", "edited"]
ParaphraseSource = str | Mapping[str, Any]


class Paraphraser(Protocol):
    def of(self, record: Record, rng: random.Random) -> Record | None:
        """A paraphrase with its answer; None where there is none."""
        ...


def paraphraser(
    source: ParaphraseSource,
    answers: Answers,
    rows: Seq[Record],
    pool: Pool,
    context: BindContext,
    database: Path | None = None,
) -> Paraphraser | None:
    """Who paraphrases; edited queries run in `database`. UserError where the grammar asked for knows no record."""
    if source == "none":
        return None
    if source in ("auto", "grammar"):
        return _by_grammar(str(source), answers, pool, context, database)
    if isinstance(source, Mapping) and "source" in source:
        return _by_source(context.source(str(source["source"])) if context.source is not None else ())
    if source == "model":
        return Known(_by_inference(rows, pool, context))
    made = _by_operation(source, rows, context)
    if answers == "same":
        return Known(made)
    try:
        return Known(made, open_editor("auto", pool, context, database=database), needed=answers == "edited")
    except UserError:
        if answers == "edited":
            raise
        return Known(made)


@dataclass(frozen=True)
class Varied:
    """By the editor."""

    editor: Editor

    def of(self, record: Record, rng: random.Random) -> Record | None:
        return self.editor.vary(record, rng)


@dataclass(frozen=True)
class Known:
    """Made before training, by the id of what they paraphrase; with an editor their answers are edited."""

    made: Mapping[str, Seq[Record]]
    editor: Editor | None = None
    needed: bool = False

    def of(self, record: Record, rng: random.Random) -> Record | None:
        found = self.made.get(stem(record.id))
        if not found:
            return None
        chosen = rng.choice(found)
        edited = self.editor.vary(chosen, rng) if self.editor is not None else None
        return edited if edited is not None or self.needed else chosen


def _by_grammar(
    source: str, answers: Answers, pool: Pool, context: BindContext, database: Path | None
) -> Paraphraser | None:
    if answers == "same":
        raise UserError("paraphrases: the grammar edits answers", "use answers: edited, or paraphrases: rephrase")
    try:
        return Varied(open_editor("auto", pool, context, database=database))
    except UserError:
        if source == "auto":
            return None
        raise


def _by_source(records: Seq[Record]) -> Known:
    made: dict[str, list[Record]] = {}
    for record in records:
        for name in SOURCES:
            if (value := record.fields.get(name)) is not None:
                made.setdefault(stem(str(value)), []).append(record)
    if records and not made:
        raise UserError(
            "paraphrases: no row of the source says what it paraphrases", f"add a column {SOURCES[0]} with the row's id"
        )
    return Known(made)


def _by_inference(rows: Seq[Record], pool: Pool, context: BindContext) -> dict[str, list[Record]]:
    """Each row with another value in its input, and what the writer answers to that when it is shown the row.

    An answer counts where it has the new value for the old one and as many words as the row's; else there is none.
    """
    writer = context.writer_for("paraphrases: model")
    known = Values(pool)
    able = [(r, found) for r in rows if (found := known.exchange(r)) is not None]
    changed = [record for _, (_, _, record) in able]
    most = max((count(r.target, context.tokenizer) for r in rows), default=0) + 16
    requests = [
        Request(
            f"{given(r)}{r.target}\n{given(c)}", most, stop=("\n",), operation="paraphrase/1", source=r.id, cut=True
        )
        for (r, _), c in zip(able, changed, strict=True)
    ]
    said = writer(requests)
    made: dict[str, list[Record]] = {}
    for (row, (old, new, record)), text in zip(able, said, strict=True):
        if not isinstance(text, Failure) and fits(text, row.target, old, new):
            target = Segment(row.target[: len(row.target) - len(row.target.lstrip())] + text.strip(), "target")
            segments = (*record.segments[:-1], target)
            made[stem(row.id)] = [replace(record, id=f"{row.id}~paraphrase", segments=segments)]
    return made


def fits(text: str, shown: str, old: str, new: str) -> bool:
    """Whether an answer has the form of the one that was shown, with the one value in the place of the other."""
    words = [len(re.findall(r"\w+", t)) for t in (text, shown, new, old)]
    return bool(spots(text, new)) and not spots(text, old) and words[0] - words[2] == words[1] - words[3]


def _by_operation(source: ParaphraseSource, rows: Seq[Record], context: BindContext) -> dict[str, list[Record]]:
    """What an operation makes of each input; the frame that all inputs stand in is kept from it."""
    options = {"operation": source} if isinstance(source, str) else dict(source)
    operation = parse_operation(options)
    writer = context.writer_for(f"paraphrases: {operation.name}").separate()
    before, after = frame([given(r) for r in rows])
    known = {r.id: r for r in rows}
    passages = [Passage(r.id, given(r)[len(before) : len(given(r)) - len(after)].strip(), r.id) for r in rows]
    made: dict[str, list[Record]] = {}
    for m in operation.infer(passages, replace(context, writer=writer)):
        text = (m.prompt + m.text).strip()
        record = known[m.passage.record]
        if text and text != m.passage.text and not copied(text, m.passage.text, m.shown):
            made.setdefault(stem(record.id), []).append(_like(record, f"{before}{text}{after}"))
    writer.refuse(0.5, f"paraphrases: {operation.name}")
    return made


def frame(texts: Seq[str]) -> tuple[str, str]:
    """What all texts begin and end with, whole words only: ("input: ", " output:")."""
    if len(set(texts)) < 2:
        return "", ""
    split = [re.findall(r"\s*\S+\s*?(?=\s|$)", t) for t in texts]
    shortest = min(map(len, split))
    ahead = next((i for i in range(shortest) if len({t[i] for t in split}) > 1), shortest)
    behind = next((i for i in range(shortest - ahead) if len({t[-1 - i] for t in split}) > 1), shortest - ahead)
    first, last = "".join(split[0][:ahead]), "".join(split[0][len(split[0]) - behind :]) if behind else ""
    return (f"{first} " if first else ""), last


def _like(record: Record, text: str) -> Record:
    """The record with another input; of a raw text, another text."""
    if not answer(record):
        return replace(record, id=f"{record.id}~paraphrase", segments=(Segment(text, "target"),))
    target = Segment(record.target, "target")
    return replace(record, id=f"{record.id}~paraphrase", segments=(Segment(text, "context"), target))
