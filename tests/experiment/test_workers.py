"""Worker processes compute what one process computes, say what goes wrong, and end with their parent."""

from __future__ import annotations

import io
import logging
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest
import yaml
from safetensors.torch import load_file

from contextune import run
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.experiment import recipe
from contextune.experiment import run as experiment
from contextune.experiment.prepare import prepare
from contextune.experiment.workers import Workers
from tests.conftest import words


@pytest.fixture(scope="module")
def bench(tmp_path_factory, tiny) -> Path:
    folder, rng = tmp_path_factory.mktemp("crew"), random.Random(0)
    (folder / "short.txt").write_text("w1 w2 w3\nw4 w5\n")
    for i in range(8):
        (folder / f"doc{i}.txt").write_text(". ".join(words(rng, 3, 12) for _ in range(8)) + ".")
    (folder / "recipe.yaml").write_text(yaml.safe_dump({
        "model": str(tiny), "data": {"docs": {"path": "doc*.txt", "held_out": 0.3}}, "seeds": [0, 1],
        "arms": {"none": None, "cpt": {"data": "docs"},
                 "cft": {"data": "docs", "context": {"policy": "prompts", "set": "short.txt"}}},
        "train": {"max_length": 48, "steps": 4, "batch": 4, "lr": 0.01},
        "evaluate": {"perplexity": ["docs"], "samples": 0}, "compare": {"resamples": 100},
    }, sort_keys=False))  # fmt: skip
    return folder / "recipe.yaml"


def test_two_workers_give_what_one_process_gives(bench, tmp_path):
    found = {}
    for n in (1, 2):
        out = tmp_path / str(n)
        found[n] = run(bench, overrides=[f"output={out}"], reporter=Reporter.silent(), workers=n)
        found[n].pop("folder")
    assert found[1] == found[2]
    for one in sorted((tmp_path / "1").rglob("model.safetensors")):
        other = load_file(tmp_path / "2" / one.relative_to(tmp_path / "1"))
        assert all(weights.equal(other[name]) for name, weights in load_file(one).items())
    assert len(list((tmp_path / "2").rglob("model.safetensors"))) == 4


@pytest.mark.slow
def test_what_a_worker_meets_is_said_in_its_words(bench, tmp_path):
    prepared = prepare(recipe.load(bench, [f"output={tmp_path}"]), bench.parent, tmp_path)
    prepared = replace(prepared, base=tmp_path / "elsewhere")  # the worker finds no data there
    said = r"data\.docs: .*doc\*\.txt"
    with experiment.open_workers(prepared, 2) as workers, pytest.raises(UserError, match=said) as e:
        workers.do([{"do": "train", "arm": "cpt", "seed": 0}], lambda message: None)
    assert e.value.hint


def test_a_worker_ends_with_its_parent():
    """A killed parent leaves nobody who would write into the folder of the run that goes on."""
    code = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-m', 'contextune.experiment.workers'], stdin=subprocess.PIPE);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(600):
        if not alive(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker goes on without its parent")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize(
    ("parameters", "threads", "asked", "jobs", "expected"),
    [(1_000, 0, 0, 9, 4), (1_000, 0, 0, 3, 3), (1_000, 2, 0, 9, 2), (1_000, 0, 1, 9, 1), (1_000, 0, 6, 9, 6),
     (10**9, 0, 0, 9, 1)],
)  # fmt: skip
def test_how_many_there_are(parameters, threads, asked, jobs, expected, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.delenv("RANK", raising=False)
    assert workers_of(planned(parameters, threads, jobs), asked, monkeypatch) == expected


def test_one_process_in_a_distributed_run(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert workers_of(planned(1, 0, 9), 0, monkeypatch) == 1


def planned(parameters: int, threads: int, jobs: int) -> SimpleNamespace:
    """A prepared run, as far as the number of its workers depends on it: each arm at each seed is a job."""
    made = SimpleNamespace(
        train=SimpleNamespace(threads=threads), seeds=range(jobs), model_dump_json=lambda **options: "{}"
    )
    return SimpleNamespace(parameters=parameters, recipe=made, arms={"a": ()}, base=Path(), out=Path())


def workers_of(prepared: SimpleNamespace, asked: int, monkeypatch) -> int:
    monkeypatch.setattr(experiment, "start_workers", lambda n, duty, start: n)
    return experiment.open_workers(prepared, asked)


def test_what_several_workers_warn_of_is_said_once(caplog):
    said = Queue()
    for place, text in ((0, "a cache"), (1, "a cache"), (1, "a prompt")):
        said.put((place, {"warning": text}))
    said.put((0, {"done": {}}))
    said.put((1, {"done": {}}))
    processes = [SimpleNamespace(stdin=io.StringIO()) for _ in range(2)]
    heard = []
    with caplog.at_level(logging.WARNING):
        Workers(processes, said).do([{"do": "score"}] * 2, heard.append)
    assert caplog.messages == ["a cache", "a prompt"]
    assert heard == [{"done": {}}] * 2
