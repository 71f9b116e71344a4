"""Rows become items: prompts are rendered, few-shot examples put before them, answers found among the options."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError, shown
from contextune.core.items import Item, Task, Turns
from contextune.core.progress import say_once
from contextune.core.reading import whole_number
from contextune.core.templates import TextTemplate, ValueTemplate
from contextune.data import readers as read
from contextune.data.raw import Row

from ..metrics import external, free_answers, sql, trees
from .same_question import Questions
from .specs import Chat, Spec

LONGEST_NAME = 1_000
"""Characters of an item's id and of its cluster's name."""
READINGS = ("text", "letter", "index")
"""How an answer may be written; one reading must fit all rows of a task, tried in this order. A number is an index."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A rendered row; once read, `answer` is an index into `options`, or the gold text where there are none."""

    id: str
    prompt: str
    options: tuple[str, ...]
    answer: Any
    where: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""
    alone: str | None = None


def build(spec: Spec, folder: Path, limit: int | None, where: str) -> Task:
    """The task of a specification. Raises UserError that names file and row, or the key at fault."""
    count = min((n for n in (spec.limit, limit) if n is not None), default=None)
    questions = _questions(spec, _rows(spec, spec.split, folder, where, count), where, folder)
    shots = _shots(spec, folder, where)
    rows = [*questions, *shots] if shots else []
    asked = Questions([q.prompt for q in rows], [_gold(q) for q in rows])
    items = tuple(
        _item(spec, q, (s for j, s in enumerate(shots, len(questions)) if not asked.copies(i, j)), where)
        for i, q in enumerate(questions)
    )
    _refuse_twice(items, where)
    _refuse_ungradable(spec, items, where)
    chance = spec.chance
    if chance is None and spec.kind == "choice":
        chance = sum(1 / len(i.options) for i in items) / len(items)
    return Task(
        name=spec.name,
        kind=spec.kind,
        items=items,
        metric=spec.metric_name,
        measure=spec.measure,
        chance=chance,
        max_tokens=spec.max_tokens,
        stop=spec.stops,
        about=spec.about,
        chat=spec.chat is not None,
        template=_written(spec),
        fields={"command": spec.command, "command_timeout": spec.command_timeout} if spec.command else {},
    )


def _written(spec: Spec) -> str:
    """The texts of prompts that are the recipe's own; control tokens that rows spell are text."""
    options = (spec.options,) if isinstance(spec.options, str) else spec.options
    between = (spec.fewshot.before_answer, spec.fewshot.between) if spec.fewshot.n else ()
    return "\n".join((spec.description, spec.prompt, *options, *between))


def _rows(spec: Spec, split: str, folder: Path, where: str, limit: int | None = None) -> list[Row]:
    if spec.rows is not None:
        if not spec.rows:
            raise UserError(
                f"{where}: rows: an empty list, expected at least one row", "write rows, or name a file: path"
            )
        rows = [Row(row, f"{where}: row {i}", str(i)) for i, row in enumerate(spec.rows, 1)]
    else:
        stop = None if limit is None else spec.skip + limit
        rows = list(islice(read.rows(spec.source(split, where), folder), stop))
    if spec.skip and spec.skip >= len(rows):
        raise UserError(f"{where}: skip is {spec.skip}, there are {len(rows)} rows", "lower skip")
    return rows[spec.skip :][:limit]


def _questions(spec: Spec, rows: Seq[Row], where: str, folder: Path) -> list[_Question]:
    ids, prompt = TextTemplate(spec.id, "id", where), TextTemplate(spec.prompt, "prompt", where)
    cluster, answer = TextTemplate(spec.cluster, "cluster", where), ValueTemplate(spec.answer, "answer", where)
    without = TextTemplate(spec.alone, "alone", where)
    options, fields = _Options(spec, where), _Fields(spec, folder, where)
    found = []
    for number, row in enumerate(rows, spec.skip):
        values = _values(spec, row)
        id = ids(values, row.origin) if spec.id else str(number)
        raw = answer(values, row.origin)
        given = fields(values, row.origin)
        of = cluster(values, row.origin)
        for key, name in (("id", id), ("cluster", of)):
            if len(name) > LONGEST_NAME:
                raise UserError(
                    f"{row.origin}: {key}: {len(name):,} characters, at most {LONGEST_NAME:,}",
                    "name a column that numbers the rows",
                )
        if spec.cluster and not of.strip():
            raise UserError(f"{row.origin}: cluster: empty", "name the fact that the row asks about in every row")
        asked = prompt(values, row.origin)
        alone = without(values, row.origin) or None
        found.append(_Question(id, asked, options(values, row.origin), raw, row.origin, given, of, alone))
    return _answered(spec, found, where)


def _values(spec: Spec, row: Row) -> dict[str, Any]:
    """What templates see: the columns, the columns under our names, and the row itself."""
    renamed = {}
    for ours, theirs in spec.columns.items():
        if theirs not in row.values:
            raise UserError(
                f"{row.origin}: columns: there is no column '{theirs}' for '{ours}'",
                f"columns: {', '.join(row.values)}",
            )
        renamed[ours] = row.values[theirs]
    return {**row.values, **renamed, "row": row.values}


class _Fields:
    """What grading and retrieval need of a row: its input, the database that its query is for."""

    def __init__(self, spec: Spec, folder: Path, where: str) -> None:
        self.folder = folder
        self.input = TextTemplate(spec.input, "input", where) if spec.input else None
        self.database = TextTemplate(spec.database, "database", where) if spec.database else None
        self.wording = TextTemplate(spec.wording, "wording", where) if spec.wording else None
        self.query = TextTemplate(spec.query, "query", where) if spec.query is not None else None
        self.passage = TextTemplate(spec.passage, "passage", where) if spec.passage else None

    def __call__(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        found = {"input": self.input(values, where)} if self.input else {}
        if self.wording:
            found["wording"] = self.wording(values, where)
        if self.query:
            found["query"] = self.query(values, where)
        if self.passage and (text := self.passage(values, where)).strip():
            found["passage"] = text
        if self.database:
            path = (self.folder / Path(self.database(values, where)).expanduser()).resolve()
            if not path.is_file():
                raise UserError(f"{where}: database: no such file {path}", "a path to an sqlite file")
            found["database"] = str(path)
        return found


class _Options:
    """A row's options, from a template each or from one expression for all."""

    def __init__(self, spec: Spec, where: str) -> None:
        self.least = 2 if spec.kind == "choice" else 1
        self.each = (
            [TextTemplate(o, "options", where) for o in spec.options] if isinstance(spec.options, tuple) else None
        )
        if self.each is not None and (twin := next((o for o in spec.options if spec.options.count(o) > 1), None)):
            raise UserError(f"{where}: options: {shown(twin)} is there twice", "each option is another text")
        self.all = ValueTemplate(spec.options, "options", where) if isinstance(spec.options, str) else None

    def __call__(self, values: Mapping[str, Any], where: str) -> tuple[str, ...]:
        if self.each is not None:
            options = [text(values, where) for text in self.each]
            if not options:
                return ()
        else:
            assert self.all is not None
            found = self.all(values, where)
            if not isinstance(found, (list, tuple)):
                raise UserError(
                    f"{where}: options: expected a list, found {found!r:.60}", 'one expression, e.g. "{{ choices }}"'
                )
            options = [str(o) for o in found]
        if len(options) < self.least:
            raise UserError(
                f"{where}: options: expected at least {self.least}, found {len(options)}", "give more options"
            )
        if not all(o.strip() for o in options):
            raise UserError(
                f"{where}: options: number {[bool(o.strip()) for o in options].index(False)} is empty", "fill it"
            )
        return tuple(options)


def _answered(spec: Spec, questions: list[_Question], where: str) -> list[_Question]:
    """The questions with their answers read: by index where there are options, as text where there are none."""
    named = [_labelled(spec, q) for q in questions]
    if not spec.options:
        for q, name in zip(questions, named, strict=True):
            if not name.strip():
                raise UserError(f"{q.where}: answer: empty", "fill it or remove the row")
        return [replace(q, answer=name) for q, name in zip(questions, named, strict=True)]
    numbers = not spec.labels and all(type(q.answer) is int for q in questions)
    readings = ("index",) if numbers else READINGS
    indices = {r: [_read(n, q.options, r) for q, n in zip(questions, named, strict=True)] for r in readings}
    fitting = next((r for r in readings if None not in indices[r]), None)
    if fitting is None:
        furthest = max(readings, key=lambda r: indices[r].index(None))
        q, name = next((q, n) for q, n, i in zip(questions, named, indices[furthest], strict=True) if i is None)
        raise UserError(
            f"{q.where}: answer: {shown(name)} is not among the options {', '.join(map(repr, q.options))[:200]}",
            "an answer is an index from 0, a letter from A, or an option's text, the same way in all rows",
        )
    return [replace(q, answer=index) for q, index in zip(questions, indices[fitting], strict=True) if index is not None]


def _labelled(spec: Spec, question: _Question) -> str:
    """The answer as written, or the label that stands for it; a number stays one, as text."""
    name = str(question.answer)
    if not spec.labels or name in spec.labels.values():
        return name
    if name not in spec.labels:
        known = ", ".join((*spec.labels, *spec.labels.values()))
        raise UserError(f"{question.where}: answer: {shown(name)} has no label", f"known: {known[:200]}")
    return spec.labels[name]


def _read(answer: str, options: tuple[str, ...], reading: str) -> int | None:
    given = answer.strip()
    if reading == "index":
        index = whole_number(given)
        return index if index is not None and index < len(options) else None
    if reading == "letter":
        place = string.ascii_uppercase.find(given.upper()) if len(given) == 1 else -1
        return place if 0 <= place < len(options) else None
    texts = [o.strip() for o in options]
    if given in texts:
        return texts.index(given)
    folded = [t.casefold() for t in texts]
    return folded.index(given.casefold()) if given.casefold() in folded else None


def _shots(spec: Spec, folder: Path, where: str) -> list[_Question]:
    """All rows that examples may be taken from, in order."""
    if not spec.fewshot.n:
        return []
    split = spec.fewshot.split or spec.split
    if spec.fewshot.path is not None:
        spec = spec.model_copy(update={"path": spec.fewshot.path, "hub": None, "rows": None, "split": split})
    spec = spec.model_copy(update={"skip": 0})
    return _questions(spec, _rows(spec, split, folder, where), where, folder)


def _gold(question: _Question) -> str:
    return question.options[question.answer] if isinstance(question.answer, int) else str(question.answer)


def _item(spec: Spec, question: _Question, shots: Iterable[_Question], where: str) -> Item:
    """`shots` are the rows that ask something else."""
    chosen = list(islice(shots, spec.fewshot.n))
    if len(chosen) < spec.fewshot.n:
        raise UserError(
            f"{where}: fewshot.n is {spec.fewshot.n}, there are {len(chosen)} examples for item {question.id} beside "
            "itself and its copies",
            "lower fewshot.n, or give more rows by fewshot.path",
        )
    answer = question.answer
    if spec.kind == "generate" and isinstance(answer, int):
        answer = question.options[answer].strip()
    if chosen and "query" not in question.fields:  # passages are retrieved for the question, not for its examples
        question = replace(question, fields={**question.fields, "query": question.prompt})
    if spec.chat is None:
        lead = spec.description + "".join(_solved(spec, s) for s in chosen)
        alone = None if question.alone is None else lead + question.alone
        return Item(
            question.id,
            lead + question.prompt,
            answer,
            question.options,
            question.fields,
            alone=alone,
            cluster=question.cluster,
        )
    turns, prompt = _conversation(spec, spec.chat, chosen, question)
    options = tuple(o.lstrip() for o in question.options)
    return Item(question.id, prompt, answer, options, question.fields, turns, cluster=question.cluster)


def _conversation(spec: Spec, chat: Chat, shots: list[_Question], question: _Question) -> tuple[Turns, str]:
    """The turns before the user's last one, and that one. The description opens the first turn of the user."""
    before: Turns = (("system", chat.system),) if chat.system else ()
    if chat.fewshot == "prompt" or not shots:
        return before, spec.description + "".join(_solved(spec, s) for s in shots) + question.prompt
    for i, shot in enumerate(shots):
        before += (("user", spec.description * (not i) + shot.prompt), ("assistant", _gold(shot).strip()))
    return before, question.prompt


def _solved(spec: Spec, shot: _Question) -> str:
    if spec.kind == "choice":
        assert isinstance(shot.answer, int)
        return shot.prompt + shot.options[shot.answer] + spec.fewshot.between
    gold = _gold(shot).strip() if isinstance(shot.answer, int) else shot.answer
    return shot.prompt + spec.fewshot.before_answer + gold + spec.fewshot.between


def _refuse_ungradable(spec: Spec, items: tuple[Item, ...], where: str) -> None:
    """A gold answer that its own metric cannot read would count against every model."""
    if spec.metric.startswith("tree"):
        for item in items:
            try:
                trees.parse(item.gold)
            except ValueError as e:
                raise UserError(
                    f"{where}: item {item.id}: answer: not a tree ({e})", "[LABEL words [LABEL …]]"
                ) from None
    if spec.metric == "execution":
        empty = [item.id for item in items if not sql.refuse_gold(Path(item.fields["database"]), item, where)]
        if empty:
            say_once(
                f"{where}: {len(empty)} of {len(items)} gold queries return no row, e.g. item {empty[0]}: any query "
                "that returns none is right there"
            )
    if spec.metric == "number_match":
        for item in items:
            if free_answers.last_number(item.gold) is None:
                raise UserError(
                    f"{where}: item {item.id}: answer: no number in {item.gold!r:.60}", "digits, or another metric"
                )
    if spec.metric == "comet":
        external.available(spec.command, where)


def _refuse_twice(items: tuple[Item, ...], where: str) -> None:
    seen = set()
    for item in items:
        if item.id in seen:
            raise UserError(f"{where}: two items have the id '{item.id}'", "make the key 'id' unique, or leave it out")
        seen.add(item.id)
