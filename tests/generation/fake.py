"""An engine that logs what it is asked, and a process that asks it.

python -m tests.generation.fake STORE LOG LOW HIGH
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from contextune.generation import Failure, Request, Store, ask


class Fake:
    """Answers by `answer`; `asked` has what it was asked and `delivered` what its asker had kept before going on."""

    def __init__(
        self,
        answer: Callable[[Request], str | Failure] = lambda r: f"answer to {r.prompt}",
        identity: str = "fake",
        delay: float = 0.0,
        log: Path | None = None,
    ) -> None:
        self.answer, self.identity, self.delay, self.log = answer, identity, delay, log
        self.asked: list[Request] = []

    def _say(self, word: str, request: Request) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{word} {request.prompt}\n")

    def complete(self, requests):
        for i, request in reversed(list(enumerate(requests))):
            self.asked.append(request)
            self._say("asked", request)
            time.sleep(self.delay)
            yield i, self.answer(request)
            self._say("delivered", request)


def numbered(low: int, high: int) -> list[Request]:
    return [Request(f"question-{i}", operation="test/1", source=f"row {i}") for i in range(low, high)]


def words(log: Path, word: str) -> list[str]:
    """Prompts in the log after a word; a last line cut short by the kill is none."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith(f"{word} ")]


if __name__ == "__main__":
    path, log, (low, high) = Path(sys.argv[1]), Path(sys.argv[2]), map(int, sys.argv[3:])
    engine = Fake(lambda r: f"{os.getpid()} {r.prompt}", delay=0.004, log=log)
    with Store(path) as store:
        print("\n".join(ask(engine, numbered(low, high), store)))
