"""A server's key is checked before it is sent, and appears nowhere in any form."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse

import pytest

from contextune.core.errors import UserError
from contextune.generation.key import check_key, holds, scrubbed

KEY = "sk-\"a\\b/c+d=e&f%g'hi"


@pytest.mark.parametrize(
    ("added", "found"),
    [
        ("\r", "a carriage return"), ("\n", "a line end"), ("\r\n", "a carriage return"), (" ", "a space"),
        ("\t", "a tab"), ("\0", "a NUL"), ("\x1b", "a control character"), ("é", "a character beyond ASCII"),
        ("\udcff", "a character beyond ASCII"), ("\u200b", "a character beyond ASCII"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["end", "middle"])
def test_a_bad_key(added, found, place):
    with pytest.raises(UserError, match=rf"^V: the key holds {found} \(character 10 of ") as e:
        check_key(f"secretkey{added}{'more' if place == 'middle' else ''}", "V")
    assert "secret" not in str(e.value) + e.value.hint
    assert "V=" in e.value.hint


def test_a_good_key():
    check_key(KEY, "V")


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = {
    "plain": KEY,
    "upper case": KEY.upper(),
    "repr": repr(KEY),
    "repr of bytes": repr(KEY.encode()),
    "JSON": json.dumps(KEY),
    "JSON in JSON": json.dumps(json.dumps(KEY)),
    "JSON with escaped slashes": json.dumps(KEY).replace("/", "\\/"),
    "JSON in code points": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "URL": urllib.parse.quote(KEY),
    "URL throughout": "".join(f"%{ord(c):02x}" for c in KEY),
    "URL twice": urllib.parse.quote(urllib.parse.quote(KEY, safe=""), safe=""),
    "HTML": html.escape(KEY),
    "base64": in_base64(KEY),
    "basic auth without a user": in_base64(f":{KEY}"),
    "basic auth": in_base64(f"user:{KEY}"),
    "basic auth with the key as the user": in_base64(f"{KEY}:"),
    "amid more": in_base64(f"ab:{KEY}xy"),
    "base64 for URLs": base64.urlsafe_b64encode(f"u:{KEY}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_scrubbed(form):
    found = scrubbed(f"bad key {form} given", KEY)
    assert "(key)" in found
    assert KEY[3:] not in found
    assert len(found) < 45, "but for what its neighbours decide"
    assert holds(form, KEY)


def test_placeholders_are_no_secrets():
    assert scrubbed("bad key EMPTY", "EMPTY") == "bad key (key)"
    assert not holds("an EMPTY house", "EMPTY")
    assert scrubbed("as it is", "") == "as it is"
