"""kill -9 again and again: nothing that was kept is asked again, and in the end all is there."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from contextune.generation import Store, ask, status
from tests.generation.stub import Proxy, Reply, Stub, numbered, said

pytest.importorskip("openai")

from contextune.generation.server import Server

ROOT = Path(__file__).parents[2]
CONCURRENCY = 4


def start(path: Path, stub: Stub, name: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.generation.stub", path, stub.url, name, count, CONCURRENCY]
    return subprocess.Popen([*map(str, command)], cwd=ROOT, stderr=subprocess.DEVNULL)


def kept(path: Path, count: int, identity: str) -> set[str]:
    with Store(path) as store:
        requests = {r.key(identity): r.prompt for r in numbered(count)}
        return {requests[k] for k, a in store.get(requests).items() if isinstance(a, str)}


def killed_and_resumed(path: Path, stub: Stub, name: str, count: int, kills: int, rng: random.Random) -> list[str]:
    """Runs it, kills it `kills` times at random moments, lets it end; the prompts in the order they were asked."""
    identity = Server(stub.url, name, api="completions").identity
    for left in range(kills, 0, -1):
        before, seen = kept(path, count, identity), len(stub.seen)
        process = start(path, stub, name, count)
        target = seen + rng.randint(1, max(1, (count - len(before)) // (left + 1) * 2))
        assert stub.wait_for(target, lambda process=process: process.poll() is None), "it ended by itself"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL
        asked = [said(body) for _, _, body in stub.seen[seen:]]
        assert not before & {*asked}, "what was kept was asked again"
    before, seen = kept(path, count, identity), len(stub.seen)
    assert start(path, stub, name, count).wait() == 0
    assert not before & {said(body) for _, _, body in stub.seen[seen:]}
    return [said(body) for _, _, body in stub.seen]


def check(path: Path, stub: Stub, name: str, count: int, kills: int) -> int:
    """All is there and nothing is left to ask; how many requests were paid for more than once."""
    seen = len(stub.seen)
    with Store(path) as store:
        found = ask(Server(stub.url, name, api="completions"), numbered(count), store)
    assert len(stub.seen) == seen
    assert len(found) == count
    shown = status(path)
    assert (shown["answered"], shown["failed"], shown["asking"]) == (count, 0, 0)
    assert {*stub.paid} == {r.prompt for r in numbered(count)}
    twice = sum(stub.paid.values()) - count
    assert twice <= kills * CONCURRENCY, "more than what was under way at the kills"
    return twice


def test_against_a_stub(tmp_path):
    """200 requests, killed five times."""
    with Stub(lambda n, body: Reply(f"answer to {said(body)}")) as stub:
        killed_and_resumed(tmp_path / "s", stub, "m", 200, 5, random.Random(1))
        check(tmp_path / "s", stub, "m", 200, 5)
        with Store(tmp_path / "s") as store:
            found = ask(Server(stub.url, "m", api="completions"), numbered(200), store)
    assert found == [f"answer to {r.prompt}" for r in numbered(200)]


@contextmanager
def served(tmp_path: Path):
    """(port, model's name) of `transformers serve` with the pocket model."""
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi and uvicorn")
    pytest.importorskip("uvicorn", reason="transformers serve needs fastapi and uvicorn")
    from contextune.worlds import pocket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", script, "serve", str(pocket.path()), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]  # fmt: skip  # noqa: E501
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 600
        while not _listens(port):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)
        yield port, str(pocket.path())
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_a_real_server(tmp_path):
    """The pocket model behind transformers' own server says what it says in this process."""
    with served(tmp_path) as (port, name):
        engine = Server(f"http://127.0.0.1:{port}/v1", name, api="completions", concurrency=2)
        with Store(tmp_path / "s") as store:
            found = ask(engine, numbered(3), store)
        row = status(tmp_path / "s")
    from contextune.generation.local import LocalEngine
    from contextune.models import load_model, load_tokenizer

    assert found == [a for _, a in sorted(LocalEngine(load_model(name), load_tokenizer(name)).complete(numbered(3)))]
    assert row["answered"] == 3
    assert row["tokens"]["read"] > 0
    assert 0 < row["tokens"]["wrote"] <= 18


@pytest.mark.slow
def test_a_real_server_and_fifty_kills(tmp_path, capsys):
    """2,000 requests to transformers' own server: no request lost, the same final set as uninterrupted."""
    count, kills = 2000, 50
    with served(tmp_path) as (port, name), Proxy(port) as proxy:
        killed_and_resumed(tmp_path / "killed", proxy, name, count, kills, random.Random(7))
        twice = check(tmp_path / "killed", proxy, name, count, kills)
        paid = sum(proxy.paid.values())
        engine = Server(proxy.url, name, api="completions", concurrency=CONCURRENCY, timeout=3600)
        with Store(tmp_path / "whole") as whole, Store(tmp_path / "killed") as killed:
            assert ask(engine, numbered(count), whole) == ask(engine, numbered(count), killed)
    with capsys.disabled():
        print(f"\n{count} requests, {kills} kills: {paid} answers paid, {twice} of them twice")
