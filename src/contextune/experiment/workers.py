"""Several small models at once: worker processes that take jobs until there are none.

A model of a few million parameters does not gain from a second thread, so where there are cores to spare each
takes an arm and a seed of its own. What is computed does not change. The parent sends one job a line and reads
one message a line; a worker whose parent is gone ends at once, so that nobody writes into a folder that a new run
has taken up. Signals that ask to end are the parent's: its workers never hear them.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from queue import Queue
from typing import IO, Any

from contextune.core.environment import quiet_libraries
from contextune.core.errors import UserError
from contextune.core.machine import refusal
from contextune.core.parallel import end_with
from contextune.models import SMALL

from .prepare import Prepared

Message = dict[str, Any]
MOST = 8
"""Workers at most: each holds libraries and data of its own."""


def count(asked: int, jobs: int, threads: int) -> int:
    """How many workers there should be: `asked`, or where that is 0 one for each `threads` cores."""
    if asked:
        return min(asked, jobs)
    return max(1, min((os.cpu_count() or 1) // threads, jobs, MOST))


def side_by_side(prepared: Prepared, asked: int) -> int:
    """How many trainings run at once; `asked` 0 chooses one a core for models that run on one thread."""
    import torch

    if not asked and (torch.cuda.is_available() or "RANK" in os.environ):
        return 1
    threads = prepared.recipe.train.threads or (1 if prepared.parameters < SMALL else os.cpu_count() or 1)
    return count(asked, max(1, len(prepared.arms) * len(prepared.recipe.seeds)), threads)


@dataclass
class Workers:
    """Running workers."""

    processes: Seq[subprocess.Popen[str]]
    said: Queue[tuple[int, Message]]
    warned: set[str] = field(default_factory=set)

    def do(self, jobs: Seq[Message], hear: Callable[[Message], None]) -> None:
        """Have every job done; `hear` is told what workers say of them. Raises UserError where a worker met one."""
        waiting, busy = list(reversed(jobs)), 0
        for place in range(len(self.processes)):
            busy += self._give(place, waiting)
        while busy:
            place, message = self.said.get()
            if "error" in message:
                raise UserError(message["error"], message["hint"])
            if "fault" in message:
                raise RuntimeError(f"a worker process failed:\n{message['fault']}")
            if "warning" in message:
                self._warn(message["warning"])
                continue
            if "done" in message:
                busy += self._give(place, waiting) - 1
            hear(message)

    def _warn(self, text: str) -> None:
        """What several workers warn of is said once."""
        if text not in self.warned:
            self.warned.add(text)
            logging.getLogger("contextune").warning("%s", text)

    def _give(self, place: int, waiting: list[Message]) -> int:
        if not waiting:
            return 0
        _say(self.processes[place].stdin, waiting.pop())
        return 1


@contextmanager
def start_workers(n: int, duty: str, start: Message) -> Iterator[Workers | None]:
    """n workers; None where one process is enough. They end with the block.

    `duty` names what they do, as "module:function": it is called with `start` in each worker, and returns what does
    one job, given the job and where to tell of it.
    """
    if n < 2:
        yield None
        return
    start = {"duty": duty, **start}
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "contextune.experiment.workers"]
    processes: list[subprocess.Popen[str]] = []
    said: Queue[tuple[int, Message]] = Queue()
    try:
        for place in range(n):
            with _deaf():
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, encoding="utf-8"
                )
                processes.append(process)
            _say(process.stdin, start)
            threading.Thread(target=_listen, args=(place, process, said), daemon=True).start()
        yield Workers(processes, said)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _listen(place: int, process: subprocess.Popen[str], said: Queue[tuple[int, Message]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put((place, json.loads(line)))
    status = process.wait()
    said.put((place, _killed(-status) if status < 0 else {"fault": f"it ended with status {status}"}))


def _killed(number: int) -> Message:
    """What a worker that was killed leaves: the system does that where memory is short."""
    hint = "see to it that there is memory for all (--workers 1 needs the least); the same command resumes"
    return {"error": f"a worker process was ended by signal {signal.Signals(number).name}", "hint": hint}


@contextmanager
def _deaf() -> Iterator[None]:
    """Within: signals that ask to end wait, and processes that are started here do not hear them at all."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say(pipe: IO[str] | None, message: Message) -> None:
    assert pipe is not None
    with suppress(BrokenPipeError):  # who listens there is gone: the parent hears why, a worker ends
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()


class _Warnings(logging.Handler):
    """Passes a worker's warnings on to its parent."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        super().__init__(logging.WARNING)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell({"warning": record.getMessage()})


def work(lines: Iterator[str], tell: Callable[[Message], None]) -> None:
    """A worker's life: make ready, then do one job a line."""
    quiet_libraries()
    start = json.loads(next(lines))
    module, _, function = start["duty"].partition(":")
    do = getattr(import_module(module), function)(start)
    for number, line in enumerate(lines):
        job = json.loads(line)
        do(job, tell)
        tell({"done": job})
        if not number:  # libraries are loaded: what is there stays, and no later collection goes through it
            gc.collect()
            gc.freeze()


def main() -> None:
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    end_with(os.getppid())
    os.dup2(2, 1)  # what a library prints must not stand among the messages
    jobs: Queue[str | None] = Queue()
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    # a process that is forked while standard input is read would wait for its lock for ever
    sys.stdin = open(os.devnull)  # noqa: SIM115
    threading.Thread(target=_read, args=(lines, jobs), daemon=True).start()
    logger = logging.getLogger("contextune")
    logger.addHandler(_Warnings(lambda message: _say(pipe, message)))
    logger.propagate = False
    try:
        work(iter(jobs.get, None), lambda message: _say(pipe, message))
    except UserError as e:
        _say(pipe, {"error": e.message, "hint": e.hint})
    except Exception as e:
        import traceback

        if found := refusal(e, then="the same command resumes"):
            _say(pipe, {"error": found.message, "hint": found.hint})
        else:
            _say(pipe, {"fault": traceback.format_exc()})


def _read(lines: Iterable[str], jobs: Queue[str | None]) -> None:
    for line in lines:
        jobs.put(line)
    os._exit(1)  # the parent is gone, whatever is being done


def advance(line: Any, message: Message) -> None:
    """Show a worker's reading on a progress line."""
    if "label" in message:
        line.advance(message["label"], message["note"], message["by"])


if __name__ == "__main__":
    main()
