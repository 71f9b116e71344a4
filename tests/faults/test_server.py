"""Whatever a server does, each request is answered or listed as failed, in bounded time and memory, without its key."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import anyio
import pytest

pytest.importorskip("openai")

from contextune.generation import Failure, Request, Store, ask
from contextune.generation.server import Server
from contextune.generation.transport import MOST

from . import hostile_lines  # noqa: F401  (its ways)
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


RARE = re.compile(
    "dripped_(status_line|trailers|chunk_size|events|error|chunks)|early_hints|redirect_(30[0-2]|file|script|with_user|to_tls)"
    "|retry_after_(past|1e400|word|many)|(answers|error_with)_key_(lower|url_all|url_twice|lines|html|basic)"
    "|error_with_key_at_.*(2|6|8|5)|status_(401|404|999)|usage_(list|nan|mappings)|content_(truth|nul|mapping)"
    "|body_(null|list|number|half|no_choices|null_choices|choices_by_name)"
)
"""Members of a kind that has others."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * bool(RARE.fullmatch(n))) for n in WAYS])
def test_every_request_ends(hostile, tmp_path, name):
    began, retries, outcome = time.monotonic(), int(ONCE.fullmatch(name) is not None), WAYS[name][1]
    timeout = 0.3 if "0.3 s" in outcome else HANGS / 3  # of a busy machine too, where an answer comes
    with Store(tmp_path / "s") as store:
        engine = Server(hostile.url(name), "m", retries=retries, timeout=timeout)
        (found,) = ask(engine, [Request("Who?", source="row 1")], store, on_failure="return")
    assert time.monotonic() - began < HANGS
    if isinstance(found, Failure):
        assert re.match(outcome, found.reason), found.reason
        assert len(found.reason) <= 300
        assert found.reason.isprintable()
        assert not leaked(found.reason), found.reason
    else:
        assert outcome in ("=", f"={found}")
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert not leaked(kept.decode("latin-1"))
    assert hostile.sent.get(name, 0) < 16 * MOST, "it stops reading"


def test_no_redirect_is_followed(hostile):
    assert not [path for _, path, *_ in hostile.seen if "elsewhere" in path]


def interrupt(when: Callable[[], bool]) -> None:
    """Presses Ctrl-C once, as soon as it may."""

    def press() -> None:
        while not when():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


MORE = [pytest.param(name, marks=pytest.mark.slow) for name in ("silent", "dripped_body", "continues")]


@pytest.mark.parametrize("name", ["dripped_headers", "retry_after_minute", *MORE])
def test_one_interrupt_ends_it(hostile, tmp_path, monkeypatch, name):
    """Within two seconds, the answers that came are kept, and the claims are given up."""
    monkeypatch.undo()
    seen = len(hostile.seen)
    engine = Server(hostile.url(f"after_ten~{name}"), "m", concurrency=4, timeout=60)
    interrupt(lambda: len(hostile.seen) >= seen + 15)
    with Store(tmp_path / "s") as store:
        with pytest.raises(KeyboardInterrupt):
            ask(engine, [Request(f"Who is {i}?") for i in range(30)], store)
        pressed = hostile.seen[seen + 14][3]
        assert time.monotonic() - pressed < 2
        assert len(store._db.execute("SELECT * FROM answers WHERE text IS NOT NULL").fetchall()) == 10
        assert not store._db.execute("SELECT * FROM claims").fetchall()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_while_an_answer_is_kept_loses_none(hostile, tmp_path, monkeypatch):
    """Those that have arrived meanwhile, and those that arrive a moment later, are kept too."""
    put, pressed = Store.put, []

    def interrupted(self, *args):
        if not pressed:
            pressed.append(time.sleep(0.3))
            os.kill(os.getpid(), signal.SIGINT)
        put(self, *args)

    monkeypatch.setattr(Store, "put", interrupted)
    seen = len(hostile.seen)
    with Store(tmp_path / "s") as store:
        with pytest.raises(KeyboardInterrupt):
            ask(Server(hostile.url("answers"), "m", concurrency=4), [Request(f"Who is {i}?") for i in range(30)], store)
        kept = store._db.execute("SELECT * FROM answers WHERE text IS NOT NULL").fetchall()
    assert len(kept) == len(hostile.seen) - seen - 1 >= 4, "all that was paid for; one request was for the models"


def test_an_interrupt_before_anything_answers(hostile, monkeypatch):
    began = time.monotonic()
    interrupt(lambda: time.monotonic() > began + 0.2)
    with pytest.raises(KeyboardInterrupt):
        list(Server(hostile.url("models_silent"), "m").complete([Request("?")]))
    assert time.monotonic() - began < 2


@pytest.mark.slow
def test_a_silent_name_server_is_not_waited_for():
    """Neither beyond the time-out nor at the exit of the process."""
    script = (
        "import socket, time; socket.getaddrinfo = lambda *a, **b: time.sleep(60)\n"
        "from contextune.generation import Request; from contextune.generation.server import Server\n"
        "began = time.monotonic()\n"
        "try: list(Server('http://host.invalid/v1', 'm', timeout=0.3, retries=0).complete([Request('?')]))\n"
        "except Exception as e: print(e, time.monotonic() - began < 5)"
    )
    bare = {n: v for n, v in os.environ.items() if n != "CONTEXTUNE_API_KEY" and not n.lower().endswith("_proxy")}
    shown = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, timeout=50)
    assert "nothing answers there (not ended within 0.3 s)" in shown.stdout
    assert shown.stdout.endswith("True\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["silent", "dripped_chunks", "endless_slowly"])
def test_one_interrupt_ends_the_command(hostile, tmp_path, monkeypatch, name):
    """`contextune augment`: status 130 within two seconds, and how to resume."""
    rows = [json.dumps({"text": f"N{i} teaches M{i} in the old school."}) for i in range(12)]
    (tmp_path / "d.jsonl").write_text("\n".join(rows))
    (tmp_path / "r.yaml").write_text(
        "name: r\nmodel: pocket\ndata: {d: {path: d.jsonl}}\noutput: out\n"
        "arms: {a: {data: d, augment: {operations: [rephrase], prompt_style: plain}}}\n"
        f"writer: {{server: '{hostile.url(name)}', name: m}}\n"
    )
    seen, command = len(hostile.seen), [sys.executable, "-m", "contextune", "augment", "r.yaml", "--out", "o.jsonl"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len(hostile.seen) < seen + 4:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 2 * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))
    assert process.returncode == 130
    assert "give the same command again" in shown
    assert "Traceback" not in shown
