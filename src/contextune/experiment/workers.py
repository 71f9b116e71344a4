"""Several small models at once: worker processes that take jobs until there are none.

A model of a few million parameters does not gain from a second thread, so where there are cores to spare each
takes an arm and a seed of its own. What is computed does not change. The parent sends one job a line and reads
one message a line; a worker whose parent is gone ends at once, so that nobody writes into a folder that a new run
has taken up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from queue import Queue
from typing import IO, Any

from contextune.core.environment import quiet_libraries
from contextune.core.errors import UserError

Message = dict[str, Any]
MOST = 8
"""Workers at most: each holds libraries and data of its own."""


def count(asked: int, jobs: int, threads: int) -> int:
    """How many workers there should be: `asked`, or where that is 0 one for each `threads` cores."""
    if asked:
        return min(asked, jobs)
    return max(1, min((os.cpu_count() or 1) // threads, jobs, MOST))


@dataclass
class Workers:
    """Running workers."""

    processes: Seq[subprocess.Popen[str]]
    said: Queue[tuple[int, Message]]

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
            if "done" in message:
                busy += self._give(place, waiting) - 1
            hear(message)

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
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, encoding="utf-8"
        )
        for _ in range(n)
    ]
    said: Queue[tuple[int, Message]] = Queue()
    for place, process in enumerate(processes):
        _say(process.stdin, start)
        threading.Thread(target=_listen, args=(place, process, said), daemon=True).start()
    try:
        yield Workers(processes, said)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _listen(place: int, process: subprocess.Popen[str], said: Queue[tuple[int, Message]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put((place, json.loads(line)))
    said.put((place, {"fault": f"it ended with status {process.wait()}"}))


def _say(pipe: IO[str] | None, message: Message) -> None:
    assert pipe is not None
    pipe.write(json.dumps(message) + "\n")
    pipe.flush()


def work(lines: Iterator[str], tell: Callable[[Message], None]) -> None:
    """A worker's life: make ready, then do one job a line."""
    quiet_libraries()
    start = json.loads(next(lines))
    module, _, function = start["duty"].partition(":")
    do = getattr(import_module(module), function)(start)
    for line in lines:
        job = json.loads(line)
        do(job, tell)
        tell({"done": job})


def main() -> None:
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand among the messages
    jobs: Queue[str | None] = Queue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    try:
        work(iter(jobs.get, None), lambda message: _say(pipe, message))
    except UserError as e:
        _say(pipe, {"error": e.message, "hint": e.hint})
    except Exception:
        import traceback

        _say(pipe, {"fault": traceback.format_exc()})


def _read(jobs: Queue[str | None]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(1)  # the parent is gone, whatever is being done


def advance(line: Any, message: Message) -> None:
    """Show a worker's reading on a progress line, or say its sentence."""
    if "say" in message:
        line.say(message["say"])
    if "label" in message:
        line.advance(message["label"], message["note"], message["by"])


if __name__ == "__main__":
    main()
