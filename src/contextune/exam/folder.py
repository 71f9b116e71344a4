"""The files of an exam's folder.

exam/
  .contextune-exam     marks the folder as an exam's
  tasks.yaml           one task for each form; a recipe's evaluate.tasks names the folder
  items/FORM.jsonl     the items
  statements.jsonl     what is asked, with its passage
  refused.jsonl        what a writer wrote that is not asked, with the reason
  written.sqlite       what a writer was asked and answered: nothing is asked twice
  exam.json            settings, fingerprint of the documents, counts: what was read, what was left out and why
  decisions.jsonl      yours: what a person accepted, rejected and edited
  index.html           all items beside their passages, to decide on
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import digest
from contextune.core.reading import parse_json, read_text

from . import decisions, writing
from .forms import ALL, Asked, Form, Row

KIND = "exam"
FIX = "give another --out"


@dataclass
class Exam:
    """An exam that was made: `counts` is exam.json, `items` holds the rows of each form."""

    counts: dict[str, Any]
    asked: list[Asked] = field(default_factory=list)
    items: dict[str, list[Row]] = field(default_factory=dict)
    unchanged: bool = False
    written: list[writing.Draft] = field(default_factory=list)
    refused: list[writing.Draft] = field(default_factory=list)
    """Written questions that are not asked, each with its reason."""


def write(exam: Exam, out: Path, retain: Seq[str]) -> None:
    """Write an exam's folder; a file that somebody edited is an error, and stays."""
    ownership.claim(out, KIND, "exam", FIX)
    files = {"tasks.yaml": tasks_yaml(exam, retain), "statements.jsonl": _lines(map(_statement, exam.asked))}
    if exam.written or exam.refused:
        files["statements.jsonl"] += _lines(map(_question, exam.written))
        files["refused.jsonl"] = _lines(map(_refused, exam.refused))
    files |= {f"items/{form}.jsonl": _lines(exam.items[form]) for form in ALL if exam.items.get(form)}
    fix = f"decisions go into {decisions.FILE}; move the file away to have it made anew"
    for name in files:
        ownership.may_write(out / name, fix)
    for name, text in files.items():
        ownership.write(out / name, text, fix)
    for form in ALL:
        if not exam.items.get(form):
            ownership.remove(out / "items" / f"{form}.jsonl")
    exam.counts["files"] = {name: digest(text) for name, text in files.items()}
    ownership.write(out / "exam.json", json.dumps(exam.counts, indent=1, ensure_ascii=False) + "\n", fix)


def there(out: Path, identity: str) -> Exam | None:
    """The exam of a folder where it is the one that is asked for, and whole."""
    try:
        counts = parse_json(read_text(out / "exam.json", "an exam's counts"))
    except (FileNotFoundError, ValueError, UserError):
        return None
    if not isinstance(counts, dict) or counts.get("identity") != identity or not isinstance(counts.get("files"), dict):
        return None
    for name, sum in counts["files"].items():
        file = out / name
        if not file.is_file() or digest(file.read_text("utf-8", "replace")) != sum:
            return None
    return Exam(counts, unchanged=True)


def tasks_yaml(exam: Exam, retain: Seq[str]) -> str:
    """A group of tasks in the grammar of task files."""
    group = [_task(form, ALL[form]) for form in ALL if exam.items.get(form)]
    return yaml.safe_dump({"group": [*group, *retain]}, sort_keys=False, allow_unicode=True, width=120)


def _task(name: str, form: Form) -> dict[str, Any]:
    answers = {"options": "{{ options }}", "answer": "{{ answer }}"}
    if form.open:
        answers = {"kind": "generate", "answer": "{{ options[0] }}", "metric": "contains"}
    return {
        "name": f"exam.{name}",
        "about": form.about,
        "path": f"items/{name}.jsonl",
        "id": "{{ id }}",
        "cluster": "{{ cluster }}",
        "prompt": "{{ prompt }}",
        **answers,
        "alone": "{{ alone }}",
        **({"passage": "{{ passage }}"} if form.closed_book else {"query": ""}),
        "wording": "{{ held_out }}",
        "measure": form.measure,
        **({"chance": form.chance} if form.chance else {}),
    }


def _question(draft: writing.Draft) -> dict[str, Any]:
    """A written question beside its passage, for the page: the sentence that holds its answer is what is asked."""
    sentences = [s for p in draft.read for s in p.sentences]
    said = next((s for s in sentences if draft.answer in s), draft.read[0].sentences[0])
    return {
        "id": writing.identity(draft),
        "document": draft.read[0].document,
        "title": draft.read[0].title,
        "passage": draft.text,
        "text": said,
        "value": draft.answer,
        "kind": draft.kind,
        "anchor": "",
    }


def _refused(draft: writing.Draft) -> dict[str, Any]:
    return {
        "kind": draft.kind,
        "passages": [p.id for p in draft.read],
        "question": draft.question,
        "answer": draft.answer,
        "reason": draft.reason,
    }


def _statement(one: Asked) -> dict[str, Any]:
    said = one.statement
    return {
        "id": said.id,
        "document": one.passage.document,
        "title": one.passage.title,
        "passage": one.passage.text,
        "text": said.text,
        "value": said.value.text,
        "kind": said.value.kind,
        "anchor": one.anchor.text,
    }


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
