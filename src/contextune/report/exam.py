"""An exam's page: each statement in its passage, each of its items, and a person's decisions on them.

Decisions are made in the page and given as the lines of `decisions.jsonl`, which the next `contextune exam` honours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.reading import json_lines, parse_json, read_text
from contextune.core.yaml_files import read_yaml

from . import render

MANY = 2**28
"""Bytes of a file of items."""


def exam_html(folder: Path) -> str:
    """The self-contained page of an exam's folder. Raises UserError where a file of it is not what the exam wrote."""
    tasks = [task for task in read_yaml(folder / "tasks.yaml")["group"] if isinstance(task, dict)]
    counts = parse_json(read_text(folder / "exam.json", "an exam's counts"))
    items: dict[str, list[dict[str, Any]]] = {}
    for task in tasks:
        form = task["name"].removeprefix("exam.")
        for row in _rows(folder / task["path"]):
            items.setdefault(row["statement"], []).append(
                {
                    **row,
                    "form": form,
                    "measure": task["measure"],
                    "said": _split(row["prompt"], row["held_out"] or row["alone"]),
                }
            )
    statements = [
        {**s, "parts": _parts(s), "items": items.get(s["id"], [])} for s in _rows(folder / "statements.jsonl")
    ]
    decided = folder / "decisions.jsonl"
    return render.page(
        "exam.html.jinja",
        scripts=("script.js", "decide.js", "exam.js"),
        title="Exam",
        counts=counts,
        forms=[{"name": t["name"].removeprefix("exam."), "about": t["about"], "measure": t["measure"]} for t in tasks],
        retain=[t for t in read_yaml(folder / "tasks.yaml")["group"] if isinstance(t, str)],
        statements=statements,
        decided=json.dumps(list(_rows(decided)) if decided.is_file() else []),
    )


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(json_lines(file, "a file of items", MANY), 1):
        try:
            row = parse_json(line) if line.strip() else None
        except ValueError:
            row = ()
        if row is not None:
            if not isinstance(row, dict):
                raise UserError(f"{file}:{number}: not an object of JSON", "move the file away to have it made anew")
            yield row


def _split(prompt: str, question: str) -> tuple[str, str]:
    """The passages that precede a question, and the question."""
    if question and prompt.endswith(question):
        return prompt.removesuffix(question), question
    before, gap, asked = prompt.rpartition("\n\n")
    return before + gap, asked


def _parts(statement: dict[str, Any]) -> list[tuple[str, str]]:
    """The passage as (class, text): the statement marked in it, the value and the anchor in the statement."""
    passage, text = statement["passage"], statement["text"]
    before, found, after = passage.partition(text)
    if not found:
        return [("", passage)]
    inner, at = list[tuple[str, str]](), 0
    spans = sorted((text.find(statement[k]), k) for k in ("value", "anchor") if statement[k] and statement[k] in text)
    for start, kind in spans:
        if start >= at:
            inner += [("said", text[at:start]), (f"said {kind}", statement[kind])]
            at = start + len(statement[kind])
    return [("", before), *inner, ("said", text[at:]), ("", after)]
