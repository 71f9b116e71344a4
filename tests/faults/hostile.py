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


# Time.
@way(LATE)
def silent(h: Handler, n: int) -> None:
    time.sleep(HANGS)


@way(LATE)
def dripped_body(h: Handler, n: int) -> None:
    h.head("Content-Length: 1000")
    h.drip(b" ")


@way(LATE)
def dripped_chunks(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.drip(b"1\r\n \r\n")


@way(LATE)
def dripped_headers(h: Handler, n: int) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    h.drip(b"X-A: b\r\n")


@way(LATE)
def dripped_status_line(h: Handler, n: int) -> None:
    h.drip(b"HTTP/1.1 200 OK"[:1])


@way(LATE)
def dripped_header_without_end(h: Handler, n: int) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: ")
    h.drip(b"a")


@way(LATE)
def dripped_trailers(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.wfile.write(b"1\r\n \r\n0\r\n")
    h.drip(b"X-A: b\r\n")


@way(LATE)
def dripped_chunk_size(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.drip(b"0")


@way(LATE)
def dripped_events(h: Handler, n: int) -> None:
    h.head(CHUNKED, "Content-Type: text/event-stream")
    h.drip(b'e\r\ndata: {"a":1}\n\r\n')


@way(LATE)
def dripped_error(h: Handler, n: int) -> None:
    h.head(CHUNKED, status="500 Oops")
    h.drip(b"1\r\n \r\n")


@way(LATE)
def continues(h: Handler, n: int) -> None:
    h.pour(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)


@way(LATE)
def early_hints(h: Handler, n: int) -> None:
    h.drip(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")


@way("=four")
def slow_once(h: Handler, n: int) -> None:
    h.reply(completion()) if n > 1 else time.sleep(HANGS)


# Size.
@way(LARGE)
def endless_chunks(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.pour(b"40000\r\n" + b" " * 0x40000 + b"\r\n")


@way(LARGE)
def endless_without_length(h: Handler, n: int) -> None:
    h.head("Connection: close")
    h.pour(b" " * 2**18)


@way(LARGE)
def endless_with_length(h: Handler, n: int) -> None:
    h.head("Content-Length: 1000000000000")
    h.pour(b"[" * 2**18)


@way(LARGE)
def endless_events(h: Handler, n: int) -> None:
    h.head(CHUNKED, "Content-Type: text/event-stream")
    h.pour(b"10000\r\n" + b"data: {}\n\n      " * 0x1000 + b"\r\n")


@way("500: no")
def endless_error(h: Handler, n: int) -> None:
    h.head("Connection: close", status="500 Oops")
    h.wfile.write(b"no")
    h.pour(b" " * 2**18)


@way(LARGE)
def large_answer(h: Handler, n: int) -> None:
    h.reply(completion("word " * 2_000_000))


@way("the answer has 100,000 characters, 64 tokens were asked for")
def long_answer(h: Handler, n: int) -> None:
    h.reply(completion("word " * 20_000))


@way(LOST)
def endless_headers(h: Handler, n: int) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    h.pour(b"X-A: b\r\n" * 1000)


@way(LOST)
def endless_status_line(h: Handler, n: int) -> None:
    h.wfile.write(b"HTTP/1.1 200 ")
    h.pour(b"O" * 2**16)


@way(LOST)
def large_header(h: Handler, n: int) -> None:
    h.reply(completion(), headers={"X-A": "a" * 2_000_000})


@way(LOST)
def endless_trailers(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.wfile.write(b"1\r\n \r\n0\r\n")
    h.pour(b"X-A: b\r\n" * 1000)


@way(LOST)
def endless_chunk_extension(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.wfile.write(b"1;a=")
    h.pour(b"a" * 2**16)


@way(rf"{UNREAD}\(it is compressed \(gzip\), which was not asked for\)")
def gzip_bomb(h: Handler, n: int) -> None:
    h.reply(BOMB, headers={"Content-Encoding": "gzip"})


@way(rf"{UNREAD}\(it is compressed \(deflate\)")
def deflate_bomb(h: Handler, n: int) -> None:
    h.reply(ZLIB, headers={"Content-Encoding": "deflate"})


@way(rf"{UNREAD}\(it is compressed \(br\)")
def brotli(h: Handler, n: int) -> None:
    h.reply(b"\x8b\x00\x80a\x03", headers={"Content-Encoding": "br"})


@way(rf"{UNREAD}\(it is compressed \(gzip, gzip\)")
def gzip_twice(h: Handler, n: int) -> None:
    h.reply(gzip.compress(BOMB), headers={"Content-Encoding": "gzip, gzip"})


@way("500: ")
def gzip_bomb_as_error(h: Handler, n: int) -> None:
    h.reply(BOMB, 500, {"Content-Encoding": "gzip"})


@way(rf"{UNREAD}\(no JSON\)")
def charset_bomb(h: Handler, n: int) -> None:
    h.reply(ZLIB, headers={"Content-Type": "application/json; charset=zlib_codec"})


@way("500: ")
def charset_bomb_as_error(h: Handler, n: int) -> None:
    h.reply(ZLIB, 500, {"Content-Type": "application/json; charset=zlib_codec"})


@way("=four")
def models_endless(h: Handler, n: int) -> None:
    if h.command == "GET":
        h.head(CHUNKED)
        h.pour(b"40000\r\n" + b" " * 0x40000 + b"\r\n")
    h.reply(completion())


@way("=four")
def models_many(h: Handler, n: int) -> None:
    h.reply(completion() if h.command == "POST" else b'{"data": [' + b'{"id": "m"},' * 200_000 + b"{}]}")


@way("=four")
def many_choices(h: Handler, n: int) -> None:
    h.reply(b'{"choices": [{"message": {"content": "four"}}' + b",{}" * 1_000_000 + b"]}")


# Lines.
@way(LOST)
def closes(h: Handler, n: int) -> None:
    h.reset()


@way(LOST)
def resets_in_the_body(h: Handler, n: int) -> None:
    h.head("Content-Length: 500")
    h.wfile.write(b'{"choices":')
    h.reset()


@way("=four")
def resets_once(h: Handler, n: int) -> None:
    h.reply(completion()) if n > 1 else resets_in_the_body(h, n)


@way(LOST)
def length_too_large(h: Handler, n: int) -> None:
    h.reply(completion(), headers={"Content-Length": "900"})
    h.close_connection = True


@way(rf"{UNREAD}\(no JSON\)")
def length_too_small(h: Handler, n: int) -> None:
    h.reply(completion(), headers={"Content-Length": "20"})
    h.close_connection = True


@way(LOST)
def length_negative(h: Handler, n: int) -> None:
    h.head("Content-Length: -5")


@way(LOST)
def lengths_differ(h: Handler, n: int) -> None:
    h.head("Content-Length: 5", "Content-Length: 6")


@way(LOST)
def length_of_many_digits(h: Handler, n: int) -> None:
    h.head("Content-Length: " + "9" * 5000)


@way(LOST)
def chunks_of_garbage(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.wfile.write(b"zz\r\nno\r\n")


@way(LOST)
def chunk_size_of_many_digits(h: Handler, n: int) -> None:
    h.head(CHUNKED)
    h.wfile.write(b"f" * 100 + b"\r\nno\r\n")


@way(LOST)
def garbage(h: Handler, n: int) -> None:
    h.wfile.write(b"\0\1\xff garbage\r\n\r\n")
    h.close_connection = True


@way(LOST)
def speaks_tls(h: Handler, n: int) -> None:
    h.wfile.write(bytes.fromhex("15030300020246") + b"\x16\x03\x01")
    h.close_connection = True


@way(LOST)
def http_0_9(h: Handler, n: int) -> None:
    h.wfile.write(json.dumps(completion()).encode())
    h.close_connection = True


@way(LOST)
def folded_and_broken_headers(h: Handler, n: int) -> None:
    h.head("X-A: b\r\n folded", "no colon", f"{h.key}\0: c")


# Redirects.
def redirect(name: str, status: int, where: str) -> None:
    def go(h: Handler, n: int) -> None:
        port = h.server.server_address[1]
        h.reply({}, status, {"Location": where.format(port=port)} if where else {})

    WAYS[name] = go, rf"{status}: it redirects to .*; redirects are not followed, set writer.server anew$"


for status in (300, 301, 302, 303, 307, 308):
    redirect(f"redirect_{status}", status, "http://localhost:{port}/elsewhere/v1/chat/completions")
redirect("redirect_loop", 307, "/redirect_loop/v1/chat/completions")
redirect("redirect_file", 307, "file:///etc/passwd")
redirect("redirect_broken", 307, "http://[::1")
redirect("redirect_nowhere", 307, "")
redirect("redirect_to_tls", 308, "https://127.0.0.1:{port}/elsewhere/v1")
redirect("redirect_with_user", 302, "http://u:p@127.0.0.1:{port}/elsewhere/v1")
redirect("redirect_script", 302, "javascript:alert(1)")


@way("=four")
def models_redirect(h: Handler, n: int) -> None:
    where = f"http://localhost:{h.server.server_address[1]}/elsewhere/v1/models"
    h.reply(completion()) if h.command == "POST" else h.reply({}, 307, {"Location": where})


# Statuses.
for name, value in {
    "minute": "60", "year": "31536000", "far": "Fri, 31 Dec 2999 23:59:59 GMT", "past": "Fri, 31 Dec 1999 23:59:59 GMT",
    "negative": "-5", "nan": "nan", "inf": "inf", "1e400": "1e400", "word": "soon", "many": "9" * 5000,
}.items():  # fmt: skip
    WAYS[f"retry_after_{name}"] = (
        lambda h, n, value=value: h.reply({"error": {"message": "slow"}}, 429, {"Retry-After": value}),
        "429(, 2 attempts)?: slow",
    )


@way("=four")
def alternates(h: Handler, n: int) -> None:
    h.reply(completion()) if n % 2 == 0 else h.reply({"error": "oops"}, 500)


@way("400, 2 attempts: no|400: no")
def insists_on_retries(h: Handler, n: int) -> None:
    h.reply({"error": "no"}, 400, {"X-Should-Retry": "true"})


for status, reason in {204: rf"{UNREAD}\(no JSON\): nothing", 304: "304: ", 401: "401: no", 404: "404: no",
                       418: "418: no", 599: "599(, 2 attempts)?: no",
                       999: "999(, 2 attempts)?: no"}.items():  # fmt: skip
    WAYS[f"status_{status}"] = (
        lambda h, n, status=status: h.reply(b"" if status < 400 else {"error": "no"}, status),
        reason,
    )


@way(f"{LOST}|{UNREAD}|101: ")
def switches_protocols(h: Handler, n: int) -> None:
    h.head("Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols")
    h.wfile.write(b"garbage" * 100)


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


ASIDE: dict[str, tuple[Way, str]] = {
    "answers": (lambda h, n: h.reply(completion()), "=four"),
    "models_silent": (silent, ""),
    "endless_slowly": (lambda h, n: (h.head(CHUNKED), h.drip(b"4000\r\n" + b" " * 0x4000 + b"\r\n", 0.02)), ""),
}
"""For some tests only. "after_ten~WAY" answers ten requests, then goes that way."""
