"""What a person decided of items: a JSON Lines file that the exam's page gives and the next run honours.

{"id": "2f0c91a7be54", "decision": "accept"}                                    the statement in all of its forms
{"id": "2f0c91a7be54", "form": "generalise_gap", "decision": "reject"}           one form of it
{"id": …, "form": …, "decision": "mend", "prompt": …, "options": […], "answer": 0}   one item, worded anew
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextune.core import decisions
from contextune.core.decisions import FILE as FILE
from contextune.core.errors import UserError, nearest, shown
from contextune.data.documents import clean

from .forms import ALL, Row

MENDS = ("prompt", "options", "answer")


@dataclass
class Decisions:
    """By id: statements accepted and rejected; by (form, id): items rejected and mended."""

    accepted: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    rejected_items: set[tuple[str, str]] = field(default_factory=set)
    mended: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For a hash."""
        items = [sorted(self.accepted), sorted(self.rejected), sorted(self.rejected_items)]
        return {"items": items, "mended": sorted((k, sorted(v.items())) for k, v in self.mended.items())}

    def apply(self, form: str, row: Row) -> Row | None:
        """The item as a person has it; None where it is rejected. A mended one keeps what the person left as it was."""
        key = form, row["id"]
        if row["statement"] in self.rejected or key in self.rejected_items:
            return None
        if (mend := self.mended.get(key)) is None:
            return row
        made = {**row, **mend, "made_by": "person"}
        if not 0 <= made["answer"] < len(made["options"]):
            raise UserError(
                f"{FILE}: item {row['id']} ({form}): answer: {made['answer']}, of {len(made['options'])} options",
                "an index from 0",
            )
        if "prompt" in mend and row["held_out"]:
            made["held_out"] = mend["prompt"].rsplit("\n\n", 1)[-1]
        return made


def read(file: Path) -> Decisions:
    """The decisions of a file, none where there is no file; later lines overrule earlier ones. Raises UserError."""
    made = Decisions()
    for said in decisions.read(file, ("form", *MENDS, "note"), ("accept", "reject", "mend"), _check):
        _take(made, said)
    return made


def _take(made: Decisions, said: dict[str, Any]) -> None:
    id, form, decision = said["id"], said.get("form"), said["decision"]
    if form is None:
        for found in (made.accepted, made.rejected):
            found.discard(id)
        (made.rejected if decision == "reject" else made.accepted).add(id)
        return
    made.rejected_items.discard((form, id))
    made.mended.pop((form, id), None)
    if decision == "reject":
        made.rejected_items.add((form, id))
    elif decision == "mend":
        made.mended[form, id] = {k: said[k] for k in MENDS if k in said}


def _check(said: dict[str, Any], where: str) -> None:
    for key, value in said.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                clean(text, f"{where}: {key}")
    if (form := said.get("form")) is not None and (not isinstance(form, str) or form not in ALL):
        raise UserError(f"{where}: form: no form {shown(form)}", nearest(str(form), ALL))
    if said["decision"] == "mend":
        _refuse_mend(said, where)
    elif used := next((k for k in MENDS if k in said), None):
        raise UserError(f"{where}: '{used}' has no effect on {said['decision']}", "decision: mend")


def _refuse_mend(said: dict[str, Any], where: str) -> None:
    if said.get("form") is None:
        raise UserError(f"{where}: mend: no form, expected the form that is worded anew", f"form: {next(iter(ALL))}")
    for problem in _problems(said):
        raise UserError(f"{where}: {problem}", "prompt: a text; options: two or more different texts; answer: an index")


def _problems(said: dict[str, Any]) -> Iterator[str]:
    """What makes a mended item one that cannot be asked."""
    if not any(k in said for k in MENDS):
        yield "mend: expected one of prompt, options, answer"
    prompt, options, answer = said.get("prompt", "x"), said.get("options", ["x", "y"]), said.get("answer", 0)
    if not isinstance(prompt, str) or not prompt.strip():
        yield f"prompt: expected a text, found {shown(prompt)}"
    texts = isinstance(options, list) and all(isinstance(o, str) and o.strip() for o in options)
    least = 1 if (form := ALL.get(said.get("form", ""))) and form.open else 2
    if not texts or len(options) < least or len({o.strip() for o in options}) < len(options):
        yield f"options: found {shown(options)}"
    if type(answer) is not int or answer < 0 or (texts and "options" in said and answer >= len(options)):
        yield f"answer: expected an index from 0, found {shown(answer)}"
