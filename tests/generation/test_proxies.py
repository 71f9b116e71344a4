"""Servers on this machine are asked directly; a proxy that cannot be used is named by its variable."""

from __future__ import annotations

import base64
import os

import pytest

from contextune.core.errors import UserError

pytest.importorskip("openai")

from contextune.generation import Request
from contextune.generation.proxies import http_client, is_loopback, proxy_of
from contextune.generation.server import Server
from tests.generation.stub import Reply, Stub

SOCKS = "socks5://user:hidden@127.0.0.1:9"


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("127.1", True), ("[::1]", True), ("[::ffff:127.0.0.1]", True),
        ("localhost", True), ("LOCALHOST.", True), ("a.localhost", True), ("0.0.0.0", True),
        ("localhost.org", False), ("notlocalhost", False), ("10.0.0.1", False), ("[fe80::1]", False), ("h.org", False),
    ],
)  # fmt: skip
def test_loopback(host, here):
    assert is_loopback(f"http://{host}:8000/v1") is here


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("proxy", [SOCKS, "socks://127.0.0.1:9", "http://127.0.0.1:9", "no such thing"])
def test_loopback_goes_through_no_proxy(monkeypatch, name, proxy):
    monkeypatch.setenv(name, proxy)
    with Stub(lambda n, body: Reply("four")) as stub:
        assert dict(Server(stub.url, "m", retries=0).complete([Request("?")])) == {0: "four"}


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    ("proxy", "why"),
    [("socks://127.0.0.1:9", "its scheme 'socks' is none"), ("ftp://h", "its scheme 'ftp' is none"),
     ("http://a:b:hidden", "it is no URL")],
)  # fmt: skip
def test_an_unusable_proxy_is_named(monkeypatch, name, proxy, why):
    monkeypatch.setenv(name, proxy)
    with pytest.raises(UserError, match=f"environment variable {name} cannot be used: {why}") as e:
        http_client("https://h.org/v1")
    assert "hidden" not in str(e.value)
    monkeypatch.setenv("NO_PROXY", "h.org")
    http_client("https://h.org/v1")


def test_a_proxy_of_no_matter_is_none(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "ftp://h")
    http_client("https://h.org/v1")
    assert proxy_of("https://h.org/v1") == ""
    assert proxy_of("http://h.org/v1") == "HTTP_PROXY"


def test_a_dead_proxy_is_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"nothing answers there .*through the proxy in HTTP_PROXY"):
        list(Server("http://h.org/v1", "m", retries=0).complete([Request("?")]))


@pytest.mark.parametrize("password", ["hidden", "hidden-and-long"])
@pytest.mark.parametrize("echo", [str, lambda text: base64.b64encode(text.encode()).decode()], ids=["plain", "base64"])
def test_what_a_proxy_says_of_its_password_is_not_kept(monkeypatch, password, echo):
    secret = f"somebody:{password}"
    with Stub(lambda n, body: Reply(f"no: Basic {echo(secret)}", 407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", f"//{secret}@"))
        found = dict(Server("http://h.invalid/v1", "m", retries=0).complete([Request("?")]))[0]
    assert found.reason.startswith("407: no: Basic ")
    assert not {password, echo(secret)[:12]} & {*found.reason.split()}
    assert "(key)" in found.reason
    assert password not in found.reason
