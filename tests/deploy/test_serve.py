"""The command that serves an arm, and a server that is asked."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from contextune.core.errors import UserError
from contextune.deploy import serve

from .folder import command, make


def test_the_command(tmp_path, monkeypatch):
    installed = {"fastapi", "uvicorn", "openai"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in installed else None)
    line = serve.command(tmp_path, 8001)
    assert line[1:] == [
        *("-m", "transformers.cli.transformers", "serve", str(tmp_path), "--host", "127.0.0.1", "--port", "8001")
    ]
    with pytest.raises(UserError, match="vLLM is not installed"):
        serve.command(tmp_path, 8001, "vllm")
    installed.add("vllm")
    assert serve.command(tmp_path, 8001)[2] == "vllm.entrypoints.openai.api_server"
    assert serve.command(tmp_path, 8001, "transformers") == line
    installed -= {"openai", "vllm"}
    with pytest.raises(UserError, match="not installed: openai"):
        serve.command(tmp_path, 8001)
    with pytest.raises(UserError, match="--with tgi"):
        serve.command(tmp_path, 8001, "tgi")


def test_a_dry_run_merges_once_and_says_the_command(tmp_path, tiny, capsys, monkeypatch):
    monkeypatch.setenv("CONTEXTUNE_CACHE", str(tmp_path / "cache"))
    run = make(tmp_path / "run", tiny)
    words = ["serve", str(run), "--arm", "tuned", "--port", "8765", "--dry-run"]
    assert command(*words) == 0
    said = capsys.readouterr().out
    (folder,) = (tmp_path / "cache" / "served").iterdir()
    assert shlex.split(said.splitlines()[0])[4] == str(folder)
    assert "/v1/chat/completions" in said
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert command(*words) == 0
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_another_export_into_the_folder_is_not_served_for_the_first(tmp_path, tiny):
    from safetensors.torch import load_file

    run, out = make(tmp_path / "run", tiny), tmp_path / "out"
    served = ["serve", str(run), "--arm", "tuned", "--out", str(out), "--dry-run"]
    assert command(*served) == 0
    first = load_file(out / "model.safetensors")
    assert command("export", str(run), "--arm", "tuned", "--dtype", "bfloat16", "--out", str(out)) == 0
    assert command(*served) == 0
    again = load_file(out / "model.safetensors")
    assert all(again[name].dtype == first[name].dtype for name in first)


def test_a_port_that_is_taken(tmp_path, tiny, capsys):
    run = make(tmp_path / "run", tiny, None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert command("serve", str(run), "--arm", "tuned", "--port", port) == 2
    assert f"--port {port}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_answers(tmp_path, tiny):
    run = make(tmp_path / "run", tiny)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(run), "--arm", "tuned", "--port", str(port), "--out", str(tmp_path / "merged")]
    server = subprocess.Popen(
        [sys.executable, "-m", "contextune", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        body = {
            "model": str(tmp_path / "merged"),
            "messages": [{"role": "user", "content": "w1 w2"}],
            "max_tokens": 4,
        }
        answer = ask(f"http://127.0.0.1:{port}/v1/chat/completions", body, server)
        assert answer["choices"][0]["message"]["role"] == "assistant"
        assert isinstance(answer["choices"][0]["message"]["content"], str)
    finally:
        server.terminate()
        server.wait(30)


def ask(url, body, server, seconds=120):
    """The server's answer, once it listens."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as e:
            raise AssertionError(e.read().decode()) from None
        except OSError:
            assert server.poll() is None, server.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.3)
