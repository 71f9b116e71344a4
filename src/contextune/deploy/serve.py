"""An OpenAI-compatible server of an arm: transformers serve, or vLLM, on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import sys
from pathlib import Path

from contextune.core.errors import UserError

HOST = "127.0.0.1"
SERVERS = ("auto", "transformers", "vllm")
NEEDED = ("fastapi", "uvicorn", "openai")
"""By transformers serve."""


def command(folder: Path, port: int, server: str = "auto") -> list[str]:
    """The command that serves a folder of weights. Raises UserError where its server is not installed.

    auto: vLLM where it is installed, else transformers.
    """
    if server not in SERVERS:
        raise UserError(f"--with {server}: unknown server", f"one of {', '.join(SERVERS)}")
    vllm = importlib.util.find_spec("vllm") is not None
    if server == "vllm" and not vllm:
        raise UserError("--with vllm: vLLM is not installed", "pip install vllm, or give --with transformers")
    path = str(folder.resolve())
    if vllm and server != "transformers":
        entry = "vllm.entrypoints.openai.api_server"
        return [sys.executable, "-m", entry, "--model", path, "--host", HOST, "--port", str(port)]
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"transformers serve needs packages that are not installed: {', '.join(missing)}",
            "pip install 'transformers[serving]'",
        )
    entry = "transformers.cli.transformers"
    return [sys.executable, "-m", entry, "serve", path, "--host", HOST, "--port", str(port)]


def refuse_taken(port: int) -> None:
    """UserError where another program listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as e:
            raise UserError(f"--port {port}: {e.strerror}", "give another --port") from None


def asking(folder: Path, port: int, has_template: bool) -> str:
    """A request that the server answers, for a shell."""
    model = str(folder.resolve())
    body = '{"model": "%s", "max_tokens": 50, ' % model.replace('"', '\\"')  # noqa: UP031
    body += '"messages": [{"role": "user", "content": "Hello"}]}' if has_template else '"prompt": "Hello"}'
    way = "chat/completions" if has_template else "completions"
    return f"curl http://{HOST}:{port}/v1/{way} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def become(line: list[str]) -> None:
    """This process becomes the server: one process, ended as any other. Nothing is asked of the hub."""
    sys.stdout.flush()
    sys.stderr.flush()
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    offline |= {"HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    os.execve(line[0], line, {**os.environ, **offline})
