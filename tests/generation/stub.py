"""A server that answers as a test says, one that counts what another is paid for, and a process that asks.

python -m tests.generation.stub STORE URL NAME COUNT CONCURRENCY
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from contextune.generation import Request, Store, ask


@dataclass
class Reply:
    """`text` is what the model says, unless `body` is given; `drop` hangs up, `hold` answers when `release` is set."""

    text: str = ""
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    drop: bool = False
    hold: bool = False
    usage: tuple[int, int] | None = (7, 3)


def said(body: dict[str, Any]) -> str:
    """The prompt in a request's body: of a conversation with a system turn, what comes last."""
    if "prompt" in body:
        return str(body["prompt"])
    return str(body["messages"][-1 if body["messages"][0]["role"] == "system" else 0]["content"])


class Stub(ThreadingHTTPServer):
    """`answer(number, body)` gives the reply to the n-th request; `seen` has (path, headers, body) of each."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, answer: Callable[[int, dict[str, Any]], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.seen, self.paid = answer, list[tuple[str, Any, dict[str, Any]]](), Counter[str]()
        self.models = 200
        self.release, self.changed = threading.Event(), threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def take(self, path: str, headers: Any, body: dict[str, Any]) -> int:
        with self.changed:
            self.seen.append((path, headers, body))
            self.changed.notify_all()
            return len(self.seen) - 1

    def wait_for(self, count: int, alive: Callable[[], bool]) -> bool:
        """Until it has seen that many requests, or nobody is alive to send them."""
        with self.changed:
            while not self.changed.wait_for(lambda: len(self.seen) >= count, 1) and alive():
                pass
            return len(self.seen) >= count

    def reply(self, number: int, path: str, body: dict[str, Any]) -> Reply:
        return self.answer(number, body)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is none of its worries."""

    def __exit__(self, *args: Any) -> None:
        self.release.set()
        self.shutdown()
        super().__exit__(*args)


class Handler(BaseHTTPRequestHandler):
    server: Stub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "stub"}]}
        self._send(self.server.models, json.dumps(listed).encode(), {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.server.reply(self.server.take(self.path, self.headers, body), self.path, body)
        if reply.hold:
            self.server.release.wait(60)
        if reply.drop:
            self.close_connection = True
            self.connection.close()
            return
        if reply.status == 200:
            with self.server.changed:
                self.server.paid[said(body)] += 1
        whole = reply.body if reply.body is not None else json.dumps(self._reply(reply)).encode()
        self._send(reply.status, whole, reply.headers)

    def _reply(self, reply: Reply) -> dict[str, Any]:
        if reply.status != 200:
            return {"error": {"message": reply.text, "type": "stub"}}
        choice: dict[str, Any] = {"index": 0, "finish_reason": reply.finish}
        choice |= {"text": reply.text} if self.path.endswith("/v1/completions") else {
            "message": {"role": "assistant", "content": reply.text}
        }  # fmt: skip
        usage = reply.usage and {
            "prompt_tokens": reply.usage[0],
            "completion_tokens": reply.usage[1],
            "total_tokens": 0,
        }
        return {"id": "x", "object": "completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Proxy(Stub):
    """Passes each request on to the server at a port, and counts the answers that it gave."""

    def __init__(self, port: int) -> None:
        super().__init__(lambda number, body: Reply())
        self.port = port

    def reply(self, number: int, path: str, body: dict[str, Any]) -> Reply:
        line = http.client.HTTPConnection("127.0.0.1", self.port)
        line.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = line.getresponse()
        return Reply(status=answer.status, body=answer.read())


def numbered(count: int) -> list[Request]:
    """Distinct requests with short greedy answers."""
    return [Request(f"Question {i}: who is the painter?", 6, source=f"row {i}", cut=True) for i in range(count)]


if __name__ == "__main__":
    from contextune.generation.server import Server

    path, url, name, count, concurrency = sys.argv[1:]
    with Store(Path(path)) as store:
        # Neither retries nor time-outs, which a server may be paid for too: it is the kills that are looked at.
        engine = Server(url, name, api="completions", concurrency=int(concurrency), retries=0, timeout=3600)
        ask(engine, numbered(int(count)), store)
