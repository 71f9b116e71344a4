"""A server that does whatever a server can do wrong, one way for each path: http://127.0.0.1:PORT/WAY/v1."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-Hostile+Key/0123456789abcdef"
HANGS = 3.0
"""Seconds that slow ways go on: much longer than any test waits."""

Way = Callable[["Handler", int], None]
WAYS: dict[str, tuple[Way, str]] = {}
"""By name: what it does in its n-th request, and the outcome: "=TEXT" ("=": any), or a pattern of the reason."""
ASIDE: dict[str, tuple[Way, str]] = {}
"""For some tests only. "after_ten~WAY" answers ten requests, then goes that way."""


def completion(content: Any = "four", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}, **more}


def way(outcome: str) -> Callable[[Way], Way]:
    def add(function: Way) -> Way:
        WAYS[function.__name__] = function, outcome
        return function

    return add


class Hostile(ThreadingHTTPServer):
    """`seen` has (method, path, Authorization, time) of each request; `sent` counts bytes of endless bodies by way."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.sent, self.counts = list[tuple[str, str, str, float]](), dict[str, int](), dict[str, int]()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}/v1"

    def handle_error(self, *args: Any) -> None:
        """Clients hang up on it, rightly."""


class Handler(BaseHTTPRequestHandler):
    server: Hostile
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._go()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._go()

    def _go(self) -> None:
        name = self.path.split("/")[1]
        self.server.seen.append((self.command, self.path, self.key, time.monotonic()))
        if self.command == "GET" and not name.startswith("models_"):
            return self.reply({"object": "list", "data": []})
        with self.server.lock:
            n = self.server.counts[name] = self.server.counts.get(name, 0) + 1
        after_ten, _, then = name.rpartition("~")
        {**WAYS, **ASIDE}["answers" if after_ten and n <= 10 else then][0](self, n)

    def reply(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """`body` as it is, where it is bytes, else as JSON."""
        whole = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": len(whole),
            **(headers or {}),
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(whole)

    def head(self, *lines: str, status: str = "200 OK") -> None:
        self.wfile.write("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1"))
        self.wfile.flush()
        self.close_connection = True

    def drip(self, data: bytes, pause: float = 0.1) -> None:
        end = time.monotonic() + HANGS
        while time.monotonic() < end:
            self.wfile.write(data)
            self.wfile.flush()
            time.sleep(pause)

    def pour(self, data: bytes, most: int = 2**30) -> None:
        """Again and again, as fast as it is read; at most a GiB."""
        name = self.path.split("/")[1]
        while self.server.sent.get(name, 0) < most:
            self.wfile.write(data)
            self.server.sent[name] = self.server.sent.get(name, 0) + len(data)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    @property
    def key(self) -> str:
        return self.headers.get("Authorization", "")


BOMB = gzip.compress(b" " * 2**25, 6)
ZLIB = zlib.compress(b" " * 2**25, 6)
CHUNKED = "Transfer-Encoding: chunked"
LATE, LOST, LARGE = (
    "no answer within 0.3 s$",
    "connection lost: ",
    r"the reply cannot be read \(it is larger than 4 MiB",
)
UNREAD = "the reply cannot be read "


# Bodies.
for name, (body, outcome) in {
    "html": (b"<html><script>x()</script><body>Bad gateway</body></html>", rf"{UNREAD}\(no JSON\): Bad gateway"),
    "empty": (b"", rf"{UNREAD}\(no JSON\): nothing"),
    "half": (b'{"choices": [{"mess', rf"{UNREAD}\(no JSON\)"),
    "events": (b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\ndata: [DONE]\n\n', rf"{UNREAD}\(no JSON\): data"),
    "null": (b"null", rf"{UNREAD}\(no choice\): null"),
    "number": (b"42", rf"{UNREAD}\(no choice\): 42"),
    "not_a_number": (b"NaN", rf"{UNREAD}\(no choice\): NaN"),
    "list": (b"[]", rf"{UNREAD}\(no choice\): \[\]"),
    "no_choices": (b"{}", UNREAD),
    "null_choices": (b'{"choices": null}', UNREAD),
    "empty_choices": (b'{"choices": []}', UNREAD),
    "choices_by_name": (b'{"choices": {"0": {"message": {"content": "x"}}}}', UNREAD),
    "null_message": (b'{"choices": [{"message": null}]}', UNREAD),
    "wrong_index": (b'{"choices": [{"index": 7, "message": {"content": "four"}}]}', "=four"),
    "index_as_text": (b'{"choices": [{"index": "0", "message": {"content": "four"}}]}', "=four"),
    "key_twice": (b'{"choices": [], "choices": [{"message": {"content": "four"}}]}', "=four"),
    "deep": (b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", rf"{UNREAD}\(no JSON\)"),
    "deep_error": (b'{"error":' * 400 + b'"no"' + b"}" * 400, UNREAD),
    "not_utf8": (json.dumps(completion("A")).encode().replace(b'"A"', b'"\xff\xfe\x80"'), "the answer holds"),
    "utf16": (json.dumps(completion()).encode("utf-16"), rf"{UNREAD}\(no JSON\)"),
    "integer_of_6000_digits": (b'{"usage": {"prompt_tokens": 1' + b"0" * 6000 + b"}}", rf"{UNREAD}\(no JSON\)"),
}.items():  # fmt: skip
    WAYS[f"body_{name}"] = (lambda h, n, body=body: h.reply(body), outcome)
WAYS["error_deep"] = (lambda h, n: h.reply(b'{"error":' * 700 + b'"no"' + b"}" * 700, 400), "400: ")
WAYS["error_of_scripts"] = (lambda h, n: h.reply(b"<script>" * 100_000, 400), "400: ")
WAYS["error_of_escapes"] = (lambda h, n: h.reply({"error": "\x1b]0;x\7\x9b2J\u202eno" + "\\" * 10**6}, 400), "400: ")
WAYS["error_of_many"] = (lambda h, n: h.reply(b'{"errors": [' + b"{}," * 1_000_000 + b'"no"]}', 400), "400: ")

# Contents.
for name, (content, outcome) in {
    "number": (4, UNREAD), "truth": (True, UNREAD), "mapping": ({"text": "x"}, UNREAD), "null": (None, "empty"),
    "parts": ([{"type": "text", "text": "four"}], "=four"),
    "surrogate": ("a\ud800", "the answer holds the control character U\\+D800"),
    "nul": ("a\0b", "the answer holds the control character U\\+0000"),
    "escape": ("\x1b[31mfour", "the answer holds the control character U\\+001B"),
    "c1_escape": ("\x9b31mfour", "the answer holds the control character U\\+009B"),
    "thought": ("<think>" * 9_000, "empty: only thoughts"),
    "nested_thoughts": ("<think>" * 4_000 + "</think>" * 3_999 + "four", "=four"),
    "thoughts_on_lines": ("x" + "\n<think>" * 8_000, "="),
    "thought_bomb": ("<think>" * 400_000, "the answer has 2,800,000 characters"),
    "fences": ("```\n" * 16_000, "="),
    "blank": (" \n\t" * 20_000, "empty"),
}.items():  # fmt: skip
    WAYS[f"content_{name}"] = (lambda h, n, content=content: h.reply(completion(content)), outcome)
for name, usage in {
    "texts": {"prompt_tokens": "five", "completion_tokens": "x"}, "mappings": {"prompt_tokens": {"a": 1}}, "list": [1],
    "negative": {"prompt_tokens": -(10**9), "completion_tokens": -5}, "nan": {"prompt_tokens": float("nan")},
    "huge": {"prompt_tokens": 10**100, "completion_tokens": float("inf")},
}.items():  # fmt: skip
    WAYS[f"usage_{name}"] = (lambda h, n, usage=usage: h.reply(completion(usage=usage)), "=four")


@way("empty: the model called a tool")
def calls_a_tool(h: Handler, n: int) -> None:
    body = completion(None)
    body["choices"][0]["message"]["tool_calls"] = [{"id": "1", "function": {"name": "rm", "arguments": "{}"}}]
    h.reply(body)


@way(r"refused: no: Bearer \(key\)")
def refuses_with_the_key(h: Handler, n: int) -> None:
    body = completion(None)
    body["choices"][0]["message"]["refusal"] = f"no: {h.key}"
    h.reply(body)


# Echoes of the key.
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str, "upper": str.upper, "lower": str.lower, "spaced": " ".join, "lines": "\n".join,
    "url": lambda key: urllib.parse.quote(key, safe=""), "url_all": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "url_twice": lambda key: urllib.parse.quote(urllib.parse.quote(key, safe="")),
    "code_points": lambda key: "".join(f"\\u{ord(c):04x}" for c in key), "hex": lambda key: key.encode().hex(),
    "html": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "basic": lambda key: base64.b64encode(f"u:{key}".encode()).decode(), "zero_width": "\u200b".join,
    "quoted": lambda key: '" + "'.join(key[i : i + 3] for i in range(0, len(key), 3)),
}  # fmt: skip
for name, form in FORMS.items():
    WAYS[f"answers_key_{name}"] = (
        lambda h, n, form=form: h.reply(completion(f"four {form(KEY)}")),
        "the answer repeats the server's key",
    )
    WAYS[f"error_with_key_{name}"] = (
        lambda h, n, form=form: h.reply({"error": {"message": f"bad {form(KEY)}"}}, 400),
        r"400: bad .*\(key\)",
    )
for before in (*range(3960, 4001, 4), *range(250, 300, 5)):
    WAYS[f"error_with_key_at_{before}"] = (
        lambda h, n, before=before: h.reply({"error": {"message": "x" * before + KEY}}, 400),
        "400: x",
    )
WAYS["error_with_half_of_the_key"] = (lambda h, n: h.reply({"error": KEY[: len(KEY) // 2]}, 400), r"400: \(key\)")


@way(r"400: bad Bearer \(key\)")
def key_in_chunks(h: Handler, n: int) -> None:
    h.head(CHUNKED, status="400 Bad")
    for c in f"bad {h.key}".encode():
        h.wfile.write(b"1\r\n" + bytes([c]) + b"\r\n")
    h.wfile.write(b"0\r\n\r\n")


@way(LOST)
def key_in_a_broken_header(h: Handler, n: int) -> None:
    h.head(f"X A\0: {h.key}")


@way(LOST)
def key_in_a_broken_status(h: Handler, n: int) -> None:
    h.wfile.write(f"HTTP/1.1 abc {h.key}\r\n\r\n".encode())
    h.close_connection = True


@way("302: it redirects to http://h/.*")
def key_in_a_redirect(h: Handler, n: int) -> None:
    h.reply({}, 302, {"Location": f"http://h/?k={urllib.parse.quote(h.key)}"})


@way("=four")
def cookies(h: Handler, n: int) -> None:
    h.reply(completion(), headers={"Set-Cookie": f"k={KEY}; Path=/"})
