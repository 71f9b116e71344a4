"""A server's key: what it may look like, and texts without it."""

from __future__ import annotations

import base64
import html
import re
import urllib.parse
from functools import lru_cache

from contextune.core.errors import UserError

_SHORT = 8
"""Shorter keys (EMPTY, none, test) are placeholders: a text that holds one gives nothing away."""
_NAMES = {"\r": "a carriage return", "\n": "a line end", "\t": "a tab", "\0": "a NUL", " ": "a space"}


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
    """A text without the key in any form that a server or a library may repeat it in: as it is, with escapes of JSON,
    Python, URLs or HTML, in base64 alone or amid other bytes."""
    return _forms(key).sub("(key)", text) if key else text


def holds(text: str, key: str) -> bool:
    """Whether a text holds the key, unless that is a placeholder."""
    return len(key) >= _SHORT and _forms(key).search(text) is not None


@lru_cache(maxsize=8)
def _forms(key: str) -> re.Pattern[str]:
    return re.compile("|".join(["".join(map(_character, key)), *map(re.escape, sorted(_base64(key)))]), re.IGNORECASE)


def _character(c: str) -> str:
    """A pattern of a character as it is or escaped, any number of times over."""
    code = ord(c)
    quoted = {html.escape(c), urllib.parse.quote(c, safe="")}
    forms = [re.escape(c), *map(re.escape, quoted), rf"u00{code:02x}", rf"x{code:02x}", rf"%(?:25)*{code:02x}"]
    return rf"\\*(?:{'|'.join(dict.fromkeys(forms))}|&#0*{code};|&#x0*{code:02x};)"


def _base64(key: str) -> set[str]:
    """What base64 makes of the key at each place in three bytes, without what its neighbours decide."""
    found: set[str] = set()
    for before in range(3) if len(key) >= _SHORT else ():
        text = base64.b64encode(b"\0" * before + key.encode("utf-8", "surrogateescape")).decode().rstrip("=")
        inner = text[-(-before * 8 // 6) : len(text) - ((before + len(key)) % 3 > 0)]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found
