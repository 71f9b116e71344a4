"""How a server is reached: directly on this machine, else as the environment's proxies have it."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import urllib.parse
import urllib.request
from typing import Any

from contextune.core.errors import UserError


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine: 127.0.0.0/8, ::1, localhost, names below it, and the unspecified address."""
    host = (urllib.parse.urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 127.1 and the like
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def http_client(url: str) -> Any:
    """The HTTP client for a server, whose requests are bounded and follow no redirect (transport.py).

    UserError, which names the variable, where its proxy cannot be used.
    """
    import openai

    from .transport import Bounded

    name = proxy_of(url)
    try:
        inner = _transport(_url(os.environ[name]) if name else None, _certificates(url))
    except Exception as e:  # a proxy of any scheme, or the certificates
        if name and (why := _unusable(os.environ[name])):
            raise UserError(
                f"the proxy in the environment variable {name} cannot be used: {why}",
                f"set {name} to http://HOST:PORT, or unset it, or add the server's host to NO_PROXY",
            ) from None
        certificates = [n for n in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(n)]
        raise UserError(
            f"no connection can be made to {url} ({type(e).__name__})",
            f"look at {', '.join(certificates) or 'the proxies and certificates in the environment'}",
        ) from None
    return openai.DefaultAsyncHttpxClient(
        transport=Bounded(inner), trust_env=False, follow_redirects=False, headers={"Accept-Encoding": "identity"}
    )


def _certificates(url: str) -> ssl.SSLContext | bool:
    """The environment's, but for this machine; none where none are needed."""
    if not is_loopback(url):
        return True
    return ssl.create_default_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _transport(proxy: str | None, verify: ssl.SSLContext | bool = True) -> Any:
    import httpx2
    import openai

    return httpx2.AsyncHTTPTransport(verify, proxy=proxy, limits=openai.DEFAULT_CONNECTION_LIMITS)


def proxy_of(url: str) -> str:
    """The environment variable of the proxy that a URL is asked through, "" where there is none."""
    parts = urllib.parse.urlsplit(url)
    if is_loopback(url) or urllib.request.proxy_bypass(parts.netloc):
        return ""
    names = [f"{kind}_proxy" for kind in (parts.scheme, "all")]
    return next((n for name in names for n in (name, name.upper()) if os.environ.get(n)), "")


def proxy_secrets(url: str) -> list[str]:
    """What the proxy for a URL is told of who asks: user and password together, and the password."""
    parts = urllib.parse.urlsplit(_url(os.environ.get(proxy_of(url), "")))
    user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
    return [f"{user}:{password}", password] if len(password) > 3 else []


def _url(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _unusable(proxy: str) -> str:
    """Why a proxy cannot be used, without its address, which may hold a password; "" where it can."""
    try:
        _transport(_url(proxy))
    except ImportError:
        return "SOCKS needs the package 'socksio' (pip install socksio)"
    except ValueError:
        return f"its scheme '{proxy.partition('://')[0]}' is none of http, https, socks5, socks5h"
    except Exception as e:  # httpx's own kind for what is no URL
        return f"it is no URL ({type(e).__name__})"
    return ""
