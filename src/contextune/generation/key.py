"""A server's key: which server gets which, what it may look like, and texts without it."""

from __future__ import annotations

import base64
import os
import re
import urllib.parse
from functools import lru_cache

from contextune.core.errors import UserError

from .proxies import is_loopback

KEY = "CONTEXTUNE_API_KEY"
"""A key for servers on this machine; or ORIGIN=KEY, several apart by white space, for the servers that they name."""
URL = re.compile(r"https?://(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?(?:/[^\s@?#\\]*)?")
"""Of a server: without user, password and query, and of one meaning only."""
OPENAI = "https://api.openai.com"
_BOUND = re.compile(r"(https?://[^\s/=]+)/?=(\S+)", re.IGNORECASE)
_SHORT = 8
"""Shorter keys (EMPTY, none, test) are placeholders: a text that holds one gives nothing away. Of a longer one, as many
letters and digits in a row are taken out of messages."""
_LONG = 16
"""As many letters and digits of a key in a row are no chance: a text with them repeats the key."""
_NAMES = {"\r": "a carriage return", "\n": "a line end", "\t": "a tab", "\0": "a NUL", " ": "a space"}


def origin(url: str) -> str:
    """Scheme, host and port: what a key is bound to."""
    parts = urllib.parse.urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    host = (parts.hostname or "").rstrip(".")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def key_for(url: str) -> tuple[str, str]:
    """(the key for the server at a URL, "" where there is none; the environment variable that has it).

    UserError where the environment has a key that does not say for which server it is, and this one is elsewhere.
    """
    value, own = os.environ.get(KEY, ""), origin(url)
    bound = value.lstrip().lower().startswith(("http://", "https://"))
    if bound and (key := _bound(value).get(own)):
        return key, KEY
    if value and not bound and is_loopback(url):
        return value, KEY
    if own == OPENAI and (key := os.environ.get("OPENAI_API_KEY", "")):
        return key, "OPENAI_API_KEY"
    if value and not bound:
        raise UserError(
            f"{KEY} does not say which server its key is for, and {own} is on another machine",
            f'say it: export {KEY}="{own}=KEY" (several: apart by spaces)',
        )
    return "", KEY


def remedy(url: str) -> str:
    """How to give a server its key."""
    if origin(url) == OPENAI:
        return "set the environment variable OPENAI_API_KEY"
    return f'set the environment variable {KEY}: export {KEY}="{origin(url)}=KEY"'


def _bound(value: str) -> dict[str, str]:
    """Keys by origin."""
    found: dict[str, str] = {}
    for place, part in enumerate(value.split(), 1):
        entry = _BOUND.fullmatch(part)
        try:
            found[origin(entry[1])] = entry[2]  # type: ignore[index]
        except (TypeError, ValueError):
            raise UserError(
                f"{KEY}: part {place} of {len(value.split())} has not the form https://HOST=KEY",
                f'expected: export {KEY}="https://HOST=KEY http://HOST:PORT=KEY"',
            ) from None
    return found


def check_key(key: str, variable: str) -> None:
    """UserError, which does not show it, where a key holds what no HTTP header takes."""
    for place, c in enumerate(key, 1):
        if not "!" <= c <= "~":
            found = _NAMES.get(c) or ("a control character" if c < " " or c == "\x7f" else "a character beyond ASCII")
            raise UserError(
                f"{variable}: the key holds {found} (character {place} of {len(key)}); expected visible ASCII",
                f"""set it anew without it; from a file: export {variable}="$(tr -d '[:space:]' < FILE)\"""",
            )


def scrubbed(text: str, key: str) -> str:
    """A text without the key, or parts of it, in any form that a server or a library may repeat it in: with escapes of
    JSON, Python, URLs or HTML, spaced, in capitals, in hexadecimal, in base64 alone or amid other bytes."""
    if not key:
        return text
    if not (forms := _forms(key)):
        return re.sub(re.escape(key), "(key)", text, flags=re.IGNORECASE)
    tokens = [(found, c) for found in _TOKEN.finditer(text) for c in _plain(found[0])]
    plain, hit = "".join(c for _, c in tokens), [False] * len(tokens)
    for form in forms:
        for gram in _grams(form, _SHORT):
            at = plain.find(gram)
            while at >= 0:
                hit[at : at + len(gram)] = [True] * len(gram)
                at = plain.find(gram, at + 1)
    parts, end = list[str](), 0
    for i, (found, _) in enumerate(tokens):
        if hit[i] and not (i and hit[i - 1]):
            parts += [text[end : found.start()], "(key)"]
        if hit[i]:
            end = found.end()
    return "".join([*parts, text[end:]])


def holds(text: str, key: str) -> bool:
    """Whether a text holds the key in any such form, unless that is a placeholder."""
    forms = _forms(key)
    plain = _plain(text) if forms else ""
    return any(gram in plain for form in forms for gram in _grams(form, _LONG))


_ESCAPE = re.compile(
    r"(?<!\\)\\*u\{?00(?P<u>[0-9a-f]{2})\}?|(?<!\\)\\+x(?P<x>[0-9a-f]{2})|%(?:25)*(?P<url>[0-9a-f]{2})"
    r"|&#0*(?P<decimal>[0-9]{1,3});|&#x0*(?P<hex>[0-9a-f]{1,2});|&[a-z]{2,8};",
    re.IGNORECASE,
)
_TOKEN = re.compile(rf"{_ESCAPE.pattern}|[a-z0-9]", re.IGNORECASE)


def _plain(text: str) -> str:
    """Letters and digits alone, in lower case, escapes undone."""
    return re.sub(r"[^A-Za-z0-9]+", "", _ESCAPE.sub(_unescaped, text)).lower()


def _unescaped(found: re.Match[str]) -> str:
    digits = next(filter(None, found.groups()), "")
    return chr(int(digits, 10 if found["decimal"] else 16)) if digits else ""


def _grams(form: str, size: int) -> list[str]:
    size = min(size, len(form))
    return [form[i : i + size] for i in range(len(form) - size + 1)]


@lru_cache(maxsize=8)
def _forms(key: str) -> tuple[str, ...]:
    """The key in letters and digits: itself, backwards, in hexadecimal, in base64 at each place in three bytes; none
    where it is too short to be one."""
    if len(key) < _SHORT or not _plain(key):
        return ()
    raw = key.encode("utf-8", "surrogateescape")
    return tuple(
        dict.fromkeys([_plain(key), _plain(key)[::-1], raw.hex(), *(_base64(raw, before) for before in range(3))])
    )


def _base64(raw: bytes, before: int) -> str:
    """What base64 makes of bytes behind `before` others, without what the neighbours decide."""
    text = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
    inner = text[-(-before * 8 // 6) : len(text) - ((before + len(raw)) % 3 > 0)]
    return re.sub(r"[^A-Za-z0-9]+", "", inner).lower()
