"""Several small models at once: worker processes, each with a recipe made ready, that take jobs until there are none.

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
from pathlib import Path
from queue import Queue
from typing import IO, TYPE_CHECKING, Any

from . import models
from .errors import UserError

if TYPE_CHECKING:
    from .prepare import Prepared

Message = dict[str, Any]
MOST = 8
"""Workers at most: each holds libraries and data of its own."""


def size(prepared: Prepared, asked: int, jobs: int) -> int:
    """How many workers there should be: `asked`, or where that is 0 one a core for models that run on one thread."""
    import torch

    if asked:
        return min(asked, jobs)
    threads = prepared.recipe.train.threads or (1 if prepared.parameters < models.SMALL else os.cpu_count() or 1)
    if torch.cuda.is_available() or "RANK" in os.environ:
        return 1
    return max(1, min((os.cpu_count() or 1) // threads, jobs, MOST))


@dataclass
class Crew:
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
def crew(prepared: Prepared, n: int) -> Iterator[Crew | None]:
    """n workers, each with the recipe made ready; None where one process is enough. They end with the block."""
    if n < 2:
        yield None
        return
    start = {
        "recipe": json.loads(prepared.recipe.model_dump_json(exclude_defaults=True)),
        "base": str(prepared.base),
        "out": str(prepared.out),
        "only": list(prepared.arms),
    }
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "contextune.crew"]
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
        yield Crew(processes, said)
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
    """A worker's life: make the recipe ready, then do one job a line."""
    from . import comparison, evaluating, recipe
    from .environment import quiet_libraries
    from .prepare import prepare

    quiet_libraries()
    start = json.loads(next(lines))
    made = recipe.parse(start["recipe"])
    prepared = prepare(made, Path(start["base"]), Path(start["out"]), start["only"])
    duties = {"train": comparison.train_one, "score": evaluating.score_one}
    for line in lines:
        job = json.loads(line)
        duties[job["do"]](prepared, job["arm"], job["seed"], tell)
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
    """Show a worker's reading on a progress line."""
    if "label" in message:
        line.advance(message["label"], message["note"], message["by"])


if __name__ == "__main__":
    main()
