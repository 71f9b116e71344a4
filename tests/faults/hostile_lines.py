"""Ways of the hostile server in which a connection goes wrong: time, size, lines, redirects, statuses."""

from __future__ import annotations

import gzip
import json
import time

from .hostile import ASIDE, BOMB, CHUNKED, HANGS, LARGE, LATE, LOST, UNREAD, WAYS, ZLIB, Handler, completion, way


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


ASIDE |= {
    "answers": (lambda h, n: h.reply(completion()), "=four"),
    "models_silent": (silent, ""),
    "endless_slowly": (lambda h, n: (h.head(CHUNKED), h.drip(b"4000\r\n" + b" " * 0x4000 + b"\r\n", 0.02)), ""),
}
