"""Scores by a command that lives in an environment of its own, such as COMET.

The command reads JSON Lines on standard input, {"id", "src", "mt", "ref"} each, and writes one line for each on
standard output, in order: a number, or an object with the number as "score". Nothing of it is a dependency.
"""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, ClassVar

from contextune.core import commands, registry
from contextune.core.errors import UserError
from contextune.core.items import Item, Task

from .metric import Grade, Metric, Outcomes, graded

if TYPE_CHECKING:
    from .metric import Estimator

SECONDS = 3600.0
"""A command's time-out; `command_timeout` of a task is another one."""
HINT = "install it in an environment of its own and name that environment's program: docs/probes.md"


def available(command: str, where: str) -> list[str]:
    """The command's words. UserError where its program is not there."""
    try:
        words = shlex.split(command)
    except ValueError as e:
        raise UserError(f"{where}: command: {e}", "quote it as in a shell") from None
    if not words:
        raise UserError(f"{where}: command: empty", HINT)
    if shutil.which(words[0]) is None:
        raise UserError(f"{where}: command: there is no program '{words[0]}'", HINT)
    return words


def scores(command: str, rows: Seq[tuple[str, str, str, str]], where: str, seconds: float = SECONDS) -> list[float]:
    """One score for each (id, source, output, gold).

    UserError where the command fails, says something else, or takes longer than `seconds`.
    """
    words = available(command, where)
    lines = [json.dumps(dict(zip(("id", "src", "mt", "ref"), row, strict=True)), ensure_ascii=False) for row in rows]
    status, out, error = commands.run(words, "\n".join(lines) + "\n", seconds, where)
    if status:
        last = (error.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"{where}: '{words[0]}' ended with status {status}: {last[:300]}", "try it by hand")
    said = [line for line in out.splitlines() if line.strip()]
    if len(said) != len(rows):
        raise UserError(
            f"{where}: '{words[0]}' wrote {len(said)} lines for {len(rows)} rows",
            "one line for each row on standard output, and nothing else; logs belong on standard error",
        )
    return [_number(line, words[0], i, where) for i, line in enumerate(said, 1)]


def _number(line: str, program: str, row: int, where: str) -> float:
    try:
        value = json.loads(line)
        number = float(value["score"] if isinstance(value, dict) else value)
    except (ValueError, KeyError, TypeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(
            f"{where}: '{program}' wrote {line[:80]!r} in line {row}, expected a number", 'a number, or {"score": 0.83}'
        )
    return number


@registry.metrics("comet")
class Comet(Metric):
    """COMET by the task's `command`; its own scale."""

    special: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("chrf", "bleu")
    has_majority: ClassVar[bool] = False

    def of(self, outcomes: Outcomes) -> Estimator:
        return graded(outcomes)

    def grade(self, task: Task, items: Seq[Item], outputs: Seq[str]) -> list[Grade]:
        rows = [(i.id, str(i.fields.get("input", i.prompt)), o, i.gold) for i, o in zip(items, outputs, strict=True)]
        commands.refuse_commands([task])
        seconds = float(task.fields.get("command_timeout", SECONDS))
        found = scores(task.fields["command"], rows, f"task {task.name}", seconds)
        return [Grade(output.strip(), value) for output, value in zip(outputs, found, strict=True)]
