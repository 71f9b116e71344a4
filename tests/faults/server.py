"""Starts commands in forked children of one process that has imported everything (small_run.Server).

A request is a line of JSON. `start`: folder, arguments, and for the child alone: environment (null removes), limits
{RLIMIT: value}, user (a number), closed (streams), stdout (a file; "gone": a pipe that nobody reads), encoding, clock
(a seed: time.time jumps by days), fault ({nth, errno, under}: from the n-th opening of a file under `under` for writing
on all fail), gone (the working directory is removed), before (a function, its arguments).
"""

from __future__ import annotations

import importlib
import io
import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

MODULES = (
    "torch", "transformers", "datasets", "scipy.stats", "pyarrow.parquet", "yaml", "rich.progress", "rich.table",
    "transformers.models.llama.modeling_llama", "transformers.trainer", "contextune.experiment.run", "contextune.cli",
    "contextune.train.stage", "contextune.experiment.preflight", "contextune.report", "contextune.generation.local",
    "contextune.experiment.estimate", "sklearn.metrics", "peft", "matplotlib", "psutil",
    "encodings.unicode_escape",
)  # fmt: skip

LIGHT = (
    "contextune.cli.recipes",
    "contextune.prompts.sets",
    "contextune.experiment.recipe",
    "typer.rich_utils",
    "rich.table",
)


def start(request: dict) -> int:
    if pid := os.fork():
        return pid
    try:
        prepare(**request)
        from contextune.cli import main

        sys.argv = ["contextune", *request["arguments"]]
        main()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # 99: it raised


def prepare(
    folder, arguments, environment=(), limits=(), user=None, closed=(), stdout=None, encoding="", clock=None,
    fault=None, gone=False, before=None,
) -> None:  # fmt: skip
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    out = os.open(Path(folder) / "printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    os.dup2(null, 0)
    os.dup2(out if stdout is None else broken() if stdout == "gone" else os.open(stdout, os.O_WRONLY), 1)
    os.dup2(out, 2)
    os.chdir(folder)
    if gone:
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
    for name, value in dict(environment).items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    if encoding:
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if before is not None:
        module, _, function = before[0].partition(":")
        getattr(importlib.import_module(module), function)(*before[1:])
    if clock is not None:
        jump(random.Random(clock))
    if fault is not None:
        sys.addaudithook(failing(**fault))
    if user is not None:
        os.setgid(user)
        os.setuid(user)
    for name, value in dict(limits).items():
        resource.setrlimit(getattr(resource, name), (value, value))
    for number in closed:
        os.close(number)


def broken() -> int:
    """The end of a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def jump(rng: random.Random) -> None:
    """Half of the readings of the clock are days off."""
    now = time.time
    time.time = lambda: now() + rng.choice((0, rng.uniform(-1e6, 1e6)))


def failing(nth: int, errno: int, under: str):
    """An audit hook that fails the n-th opening of a file under `under` for writing, and all after it."""
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event != "open":
            return
        path, _, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if isinstance(path, str) and writes and under in os.path.abspath(path) and not path.endswith(".lock"):
            seen += 1
            if seen >= nth:
                raise OSError(errno, os.strerror(errno))

    return hook


def wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for module in MODULES if len(sys.argv) < 2 else LIGHT:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        found = start(request) if request.pop("do") == "start" else wait(**request)
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
