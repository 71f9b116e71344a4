"""Programs that a task names and code that a model brings: none is run unless whoever gives the command says so."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    from .items import Task

ALLOWED = "CONTEXTUNE_ALLOW_COMMANDS"
"""Set to 1 in the environment, it allows them, in the processes of a run as well."""


@contextmanager
def allowing(wanted: bool) -> Iterator[None]:
    """Within, and in processes that are started there, commands may be run, if `wanted`."""
    before = os.environ.get(ALLOWED)
    if wanted:
        os.environ[ALLOWED] = "1"
    try:
        yield
    finally:
        if wanted:
            os.environ.pop(ALLOWED)
        if wanted and before is not None:
            os.environ[ALLOWED] = before


def refuse_commands(tasks: Iterable[Task]) -> None:
    """UserError where a task would run a command and none is allowed."""
    for task in tasks:
        if "command" in task.fields and os.environ.get(ALLOWED) != "1":
            raise UserError(
                f"task {task.name}: it would run the command {task.fields['command']!r:.200}",
                f"if you trust it, give --allow-commands (in Python: {ALLOWED}=1 in the environment)",
            )


def refuse_code(model: str) -> None:
    """UserError where code of a model would be run (`trust_remote_code`) and none is allowed."""
    if os.environ.get(ALLOWED) != "1":
        raise UserError(
            f"model {model}: trust_remote_code would run code that comes with it",
            f"if you trust it, give --allow-commands (in Python: {ALLOWED}=1 in the environment)",
        )


def run(words: list[str], text: str, seconds: float, where: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a program that reads `text`.

    UserError where it is not done in `seconds`; then, and after Ctrl-C, it is ended with all that it has started.
    """
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        out, error = process.communicate(text, timeout=seconds)
    except BaseException as e:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(e, subprocess.TimeoutExpired):
            raise
        raise UserError(
            f"{where}: '{words[0]}' was not done after {seconds:g} seconds", "raise command_timeout, or try it by hand"
        ) from None
    return process.returncode, out, error
