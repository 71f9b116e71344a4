"""HTTP requests that end: bounded in time and size, whatever the server does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Self, TypeVar

import httpx2

MOST = 2**22
"""Bytes of a reply's body that are read."""
T = TypeVar("T")
_KEPT = ("retry-after", "retry-after-ms", "x-should-retry", "location")


class Bounded(httpx2.AsyncBaseTransport):
    """Replies whole: the request's time-out bounds all of it (connection, headers, body), MOST its size.

    Of the headers only those that matter are kept. The extension `trouble` says why the body is of no use, "" where
    it is. Raises httpx2.ReadTimeout, and what the `inner` transport raises.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        seconds = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(seconds):
                response = await self.inner.handle_async_request(request)
                try:
                    body = await _beginning(response.aiter_raw())
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx2.ReadTimeout(f"not ended within {seconds:g} s", request=request) from None
        trouble = f"it is larger than {MOST / 2**20:g} MiB" if len(body) > MOST else ""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):  # a few bytes may become gigabytes
            trouble = f"it is compressed ({encoding[:20]}), which was not asked for"
        kept = [(name, response.headers[name]) for name in _KEPT if name in response.headers]
        return httpx2.Response(response.status_code, headers=kept, content=body, extensions={"trouble": trouble})

    async def aclose(self) -> None:
        await self.inner.aclose()


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """At most MOST + 1 bytes."""
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        if len(found) > MOST:
            break
    return bytes(found[: MOST + 1])


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, *args: Any, **more: Any) -> Any:
        """In a thread that no exit waits for: a name server may be silent for long."""
        found: Future[Any] = Future()
        found.set_running_or_notify_cancel()

        def look() -> None:
            try:
                found.set_result(socket.getaddrinfo(*args, **more))
            except BaseException as e:
                found.set_exception(e)

        threading.Thread(target=look, daemon=True).start()
        return await asyncio.wrap_future(found, loop=self)


class Background:
    """An event loop in a thread of its own; at the end all that is under way is given up."""

    def __enter__(self) -> Self:
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def __exit__(self, *error: object) -> None:
        with suppress(TimeoutError, CancelledError):
            self.start(_end()).result(0.5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(0.5)
        if not self._thread.is_alive():
            self._loop.close()


async def _end() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
