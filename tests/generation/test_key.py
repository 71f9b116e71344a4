"""A server's key is checked before it is sent, and appears nowhere in any form."""

from __future__ import annotations

import base64
import html
import json
import time
import urllib.parse

import pytest

from contextune.core.errors import UserError
from contextune.generation.key import check_key, holds, key_for, origin, scrubbed
from contextune.generation.options import Writer
from contextune.generation.server import Server

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


TWO = "https://one.org=sk-one http://two.org:8000/=sk=two== \n"


@pytest.mark.parametrize(
    ("value", "url", "key"),
    [
        (TWO, "https://one.org/v1", "sk-one"), (TWO, "https://one.org:443/v1", "sk-one"),
        (TWO, "https://ONE.org./v1", "sk-one"), (TWO, "http://two.org:8000/v1", "sk=two=="),
        (TWO, "http://one.org/v1", ""), (TWO, "https://one.org:444/v1", ""), (TWO, "https://one.org.evil.org/v1", ""),
        (TWO, "https://a.one.org/v1", ""), (TWO, "http://two.org/v1", ""), (TWO, "http://localhost/v1", ""),
        (TWO, "https://one.orgx/v1", ""), (TWO, "https://evil.org/one.org", ""),
        (TWO, "https://api.openai.com/v1", "sk-o"),
        ("sk-here", "http://localhost:8000/v1", "sk-here"), ("sk-here", "http://127.0.0.1/v1", "sk-here"),
        ("sk-here", "http://[::1]:9/v1", "sk-here"), ("sk-here", "https://api.openai.com/v1", "sk-o"),
        ("HTTPS://API.openai.com=sk-mine", "https://api.openai.com/v1", "sk-mine"),
        ("", "https://api.openai.com/v1", "sk-o"), ("", "http://api.openai.com/v1", ""),
        ("", "https://api.openai.com:8443/v1", ""), ("", "https://api.openai.com.evil.org/v1", ""),
        ("", "https://eu.api.openai.com/v1", ""), ("", "http://localhost:8000/v1", ""),
        ("", "https://api.openai.co/v1", ""),
    ],
)  # fmt: skip
def test_a_key_goes_to_the_server_that_it_is_bound_to(monkeypatch, value, url, key):
    monkeypatch.setenv("CONTEXTUNE_API_KEY", value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-o")
    assert key_for(url)[0] == key


@pytest.mark.parametrize("url", ["https://one.org/v1", "http://10.0.0.1:8000/v1", "http://api.openai.com/v1"])
def test_a_key_without_a_server_goes_to_no_other_machine(monkeypatch, url):
    monkeypatch.setenv("CONTEXTUNE_API_KEY", "sk-secret-1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="does not say which server its key is for") as e:
        key_for(url)
    assert f'CONTEXTUNE_API_KEY="{origin(url)}=KEY"' in e.value.hint
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    "value", ["https://one.org=sk-a secret", "https://one.org secret", "https://one.org/v1=secret", "https://h:x=secret",
              "https://u:secret@one.org", "https://=secret"],
)  # fmt: skip
def test_bindings_of_another_form(monkeypatch, value):
    monkeypatch.setenv("CONTEXTUNE_API_KEY", value)
    with pytest.raises(UserError, match=r"CONTEXTUNE_API_KEY: part \d of \d has not the form https://HOST=KEY") as e:
        key_for("https://one.org/v1")
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    "url", ["http://u:secret@h/v1", "http://secret@h/v1", "http://h/v1?key=secret", "http://h\\@evil.org/secret",
            "http://h/v1#secret", "ftp://h/secret", "http://h:99x/secret", "//h/secret", "http://h /secret", "h/secret",
            "http://api.openai.com\\.evil.org/secret"],
)  # fmt: skip
def test_urls_with_secrets_or_of_two_meanings(url):
    with pytest.raises(UserError, match=r"writer\.server") as e:
        Server(url, "m")
    assert "secret" not in str(e.value)
    with pytest.raises(ValueError, match="without user, password or query"):
        Writer.model_validate({"server": url, "name": "m"})


def test_texts_that_only_look_like_it():
    key = "sk-proj-0123456789abcdefghij"
    assert not holds("the digits 0123456789 and the letters abcdefgh", key)
    assert scrubbed("a project of 0123 parts", key) == "a project of 0123 parts"


def test_parts_of_a_key_are_taken_out_of_messages():
    key = "sk-proj-Zx81LmQw72Pt"
    for part in (key[:12], key[6:], key[4:14]):
        assert scrubbed(f"bad {part}!", key) == "bad (key)!"
    assert scrubbed(f"one {key} two {key}", key) == "one (key) two (key)"


@pytest.mark.parametrize("unit", ["\\", "%25", "%", "&#0", "\\u00", "sk", "sk-", "a" * 19])
def test_its_time_is_linear(unit):
    began = time.process_time()
    holds(unit * (400_000 // len(unit)), "sk-" + "a" * 20)
    scrubbed(unit * (4_000 // len(unit)), "sk-" + "a" * 20)
    assert time.process_time() - began < 3
