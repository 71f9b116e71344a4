"""A small real run, what it ends with, and how to start it in processes of its own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import words

ROOT = Path(__file__).parents[2]
OF_A_RUN = ("run.json", ".lock", "report.html", "augmented.html", "whole.json")
TIMES = ("seconds", "waited", "began", "notes", "seal")
"""Files that hold times, checksums of times, or their folder's name; and keys of others."""


def write_recipe(folder: Path, tiny: Path, **changes: Any) -> Path:
    """A recipe over texts with one trained and one untrained arm, two tasks and a sample; `changes` are keys of it."""
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"d{i}", "text": ". ".join(words(rng, 3, 12) for _ in range(8)) + "."} for i in range(8)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    items = [{"q": words(rng, 2, 4), "a": rng.randrange(2)} for _ in range(6)]
    (folder / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in items))
    task = {"name": "pick", "kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}", "answer": "{{ a }}"}
    recipe = {
        "model": str(tiny), "output": "out", "data": {"docs": {"path": "docs.jsonl", "held_out": 0.2}},
        "arms": {"none": None, "cpt": {"data": "docs"}},
        "train": {"max_length": 48, "steps": 8, "batch": 4, "lr": 0.01, "save": 2},
        "evaluate": {"tasks": [{**task, "options": [" w1", " w2"]}], "perplexity": ["docs"], "samples": 1},
        "compare": {"resamples": 100}, **changes,
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return folder / "recipe.yaml"


def write_task(folder: Path) -> None:
    (folder / "task.yaml").write_text('kind: generate\nrows: [{q: w1, a: w2}]\nprompt: "{{ q }}"\nanswer: "{{ a }}"\n')


def ending(out: Path) -> dict[str, str]:
    """A hash of every file that a finished run leaves, times apart; nothing half-written may be among them."""
    found = {}
    for file in sorted(p for p in out.rglob("*") if p.is_file() and p.name not in OF_A_RUN):
        name = file.relative_to(out).as_posix()
        assert ".part" not in name, name
        if file.suffix in (".sqlite", ".sqlite-wal", ".sqlite-shm"):
            continue
        data = file.read_bytes()
        if file.name in ("losses.json", "stage.json", "identity.json", "index.json"):
            data = json.dumps(_timeless(json.loads(data)), sort_keys=True).encode()  # workers end in any order
        found[name] = blake2b(data, digest_size=8).hexdigest()
    pages = {*out.glob("*.html"), *([out / "report.html"] if "results.json" in found else [])}
    assert all(page.read_text("utf-8").rstrip().endswith("</html>") for page in pages)
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(v) for v in value]
    return {k: v for k, v in value.items() if k not in TIMES}


class Server:
    """Commands in forked children of one process that has imported everything (`light`: no torch): seconds less."""

    def __init__(self, light: bool = False) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.faults.server", *(["light"] if light else [])]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, folder: Path, *arguments: str, **how: Any) -> int:
        """The child's number; `how`: see tests/faults/server.py. What it prints lands in folder/printed."""
        return self._ask({"do": "start", "folder": str(folder), "arguments": arguments, **how})

    def wait(self, pid: int, seconds: float = 120.0) -> int:
        """The exit status as a shell has it: 128 + N where signal N ended it. It must end in time."""
        status = self._ask({"do": "wait", "pid": pid, "seconds": seconds})
        assert status is not None, f"process {pid} did not end within {seconds} s"
        return int(status)

    def run(self, folder: Path, *arguments: str, **how: Any) -> tuple[int, str]:
        """(exit status, what was printed on both streams)."""
        status = self.wait(self.start(folder, *arguments, **how))
        return status, printed(folder)

    def _ask(self, request: dict[str, Any]) -> Any:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def served(light: bool = False):
    server = Server(light)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def printed(folder: Path) -> str:
    file = folder / "printed"
    return file.read_text("utf-8", "replace") if file.exists() else ""


def wait_for(look, seconds: float = 60.0) -> bool:
    """Whether `look()` is true before the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.002)
    return False
