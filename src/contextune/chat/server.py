"""A page on this machine in which all models answer side by side.

Nothing but the standard library serves it, on 127.0.0.1 alone; every request must name this machine as its host and
carry the token that is in the page, so that no other site can ask.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from contextune.core.errors import UserError
from contextune.core.reading import parse_json

from .conversation import Conversation

LARGEST = 2**22
"""Bytes of a request."""
LOCAL = ("127.0.0.1", "localhost", "[::1]")


class Page(ThreadingHTTPServer):
    """`html` is given the token and must send it with every request, in the header X-Token."""

    daemon_threads = True

    def __init__(self, conversation: Conversation, port: int = 0) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as e:
            raise UserError(f"--port {port}: {e.strerror or e}", "give another port, or none for a free one") from None
        self.conversation, self.token = conversation, secrets.token_urlsafe(16)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def html(self) -> str:
        from contextune.report.chat import chat_html

        talk = self.conversation
        return chat_html([s.name for s in talk.speakers], self.token, talk.context, talk.library is not None)


class _Handler(BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        if not self._local():
            return
        if self.path != "/":
            return self._fail(HTTPStatus.NOT_FOUND, "there is one page here: /")
        self._send("text/html; charset=utf-8", self.server.html().encode())

    def do_POST(self) -> None:
        if not self._local():
            return
        if not secrets.compare_digest(self.headers.get("X-Token", "").encode(), self.server.token.encode()):
            return self._fail(HTTPStatus.FORBIDDEN, "the page was opened before the server was started: load it again")
        try:
            asked = self._json()
        except ValueError as e:
            return self._fail(HTTPStatus.BAD_REQUEST, str(e))
        talk = self.server.conversation
        if self.path == "/forget":
            talk.forget()
            return self._send("application/json", b"{}")
        if self.path != "/ask":
            return self._fail(HTTPStatus.NOT_FOUND, "expected /ask or /forget")
        self._stream(asked)

    def _stream(self, asked: dict[str, Any]) -> None:
        """One JSON object a line, as the parts come."""
        talk, question = self.server.conversation, asked["question"]
        talk.context = asked["context"]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        parts = talk.ask(question, talk.seen(question, asked["retrieve"]), tuple(asked["only"]))
        try:
            for part in parts:
                line = {"kind": part.kind, "speaker": part.speaker, "text": part.text}
                self.wfile.write(json.dumps(line).encode() + b"\n")
                self.wfile.flush()
        except (BrokenPipeError, ConnectionError):  # the page was closed, or its reader pressed stop
            pass
        finally:
            parts.close()

    def _json(self) -> dict[str, Any]:
        """ValueError that says what was expected."""
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > LARGEST:
            raise ValueError(f"expected a body of at most {LARGEST:,} bytes")
        try:
            found = parse_json(self.rfile.read(int(size)).decode("utf-8"))
            json.dumps(found, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair is no text
        except ValueError:
            raise ValueError("the body is no JSON in UTF-8") from None
        made = {
            "question": "",
            "context": "",
            "retrieve": False,
            "only": [],
            **(found if isinstance(found, dict) else {}),
        }
        if not all(isinstance(made[k], str) for k in ("question", "context")) or not isinstance(made["only"], list):
            raise ValueError("expected {question: text, context: text, retrieve: true or false, only: [names]}")
        if self.path == "/ask" and not made["question"].strip():
            raise ValueError("the question is empty")
        return {**made, "retrieve": bool(made["retrieve"]), "only": [str(name) for name in made["only"]]}

    def _local(self) -> bool:
        """Whether the host is this machine: a name of another site that points here is refused (DNS rebinding)."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host in LOCAL:
            return True
        self._fail(HTTPStatus.FORBIDDEN, "this page answers 127.0.0.1 and localhost alone")
        return False

    def _send(self, kind: str, body: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: HTTPStatus, reason: str) -> None:
        self._send("text/plain; charset=utf-8", reason.encode(), status)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed of each request."""
