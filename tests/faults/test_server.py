"""Whatever a server does, each request is answered or listed as failed, in bounded time and memory, without its key."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

pytest.importorskip("openai")

from contextune.core.errors import UserError
from contextune.generation import Failure, Request, Store, ask
from contextune.generation.server import Server
from contextune.generation.transport import MOST

from .hostile import HANGS, KEY, WAYS, Hostile

LETTERS = re.sub(r"[^a-z0-9]", "", KEY.lower())
ONCE = re.compile("slow_once|resets_once|alternates|retry_after.*|insists.*|status_599|status_999")


@pytest.fixture(scope="module")
def hostile():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Hostile() as server:
        yield server
        server.shutdown()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400 * 1024, f"{grown / 1024:.0f} MiB more than before"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A key, and no waiting between tries."""

    async def sleep(seconds: float) -> None:
        assert 0 <= seconds <= 120

    monkeypatch.setattr(anyio, "sleep", sleep)
    monkeypatch.setenv("CONTEXTUNE_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def leaked(text: str) -> bool:
    """Whether a text has eight letters and digits of the key in a row."""
    bare = re.sub(r"[^a-z0-9]", "", text.lower())
    return any(LETTERS[i : i + 8] in bare for i in range(len(LETTERS) - 7))


@pytest.mark.parametrize("name", WAYS)
def test_every_request_ends(hostile, tmp_path, name):
    began, retries = time.monotonic(), int(ONCE.fullmatch(name) is not None)
    with Store(tmp_path / "s") as store:
        engine = Server(hostile.url(name), "m", retries=retries, timeout=0.3)
        (found,) = ask(engine, [Request("Who?", source="row 1")], store, on_failure="return")
    assert time.monotonic() - began < HANGS
    outcome = WAYS[name][1]
    if isinstance(found, Failure):
        assert re.match(outcome, found.reason), found.reason
        assert len(found.reason) <= 300
        assert found.reason.isprintable()
        assert not leaked(found.reason), found.reason
    else:
        assert found == outcome.rpartition("=")[2]
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert not leaked(kept.decode("latin-1"))
    assert hostile.sent.get(name, 0) < 16 * MOST, "it stops reading"


def test_no_redirect_is_followed(hostile):
    assert not [path for _, path, _ in hostile.seen if "elsewhere" in path]
