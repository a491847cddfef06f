"""The httpx clients that this package makes for itself.

One TLS context serves all of a process, and loads its certificates when the first connection needs them: that takes
some 40 ms, which a client that never connects (one in a test, say) need not pay.
"""

from __future__ import annotations

import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import cache, partial
from typing import Any, Final

import httpx

from ._loops import Loop, is_over, run_soon, running_loop

LIMITS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100)

_HELD: Final = "portkey_http"
"""Where a response holds the client it came from, so that a stream may outlive the last mention of its client."""

_lock = threading.Lock()


class _Context(ssl.SSLContext):
    """A context with the usual safe settings that loads the trusted certificates when first used."""

    _loaded = False

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self._load()
        return super().wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> Any:
        self._load()
        return super().wrap_bio(*args, **kwargs)

    def _load(self) -> None:
        with _lock:
            if self._loaded:
                return
            # The variables and the fallback are httpx's own.
            if file := os.environ.get("SSL_CERT_FILE"):
                self.load_verify_locations(cafile=file)
            elif directory := os.environ.get("SSL_CERT_DIR"):
                self.load_verify_locations(capath=directory)
            else:
                import certifi

                self.load_verify_locations(cafile=certifi.where())
            self._loaded = True


def shared_context() -> ssl.SSLContext:
    """The context that this package's own clients share; a `http_client=` brings its own."""
    with _lock:  # a cache alone would let two threads make two
        return _context()


@cache
def _context() -> ssl.SSLContext:
    return _Context(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificates and host names


class OwnClient:
    """An httpx client that is made when it is first needed, and adds nothing of its own to a request.

    A forked process makes another: two cannot take turns on one connection.

    Attributes:
        is_closed: Whether it has been closed.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._client: httpx.Client | None = None
        self._process = 0
        self._end: Callable[[], object] | None = None

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send; by any number of threads at a time."""
        client, process = self._client, os.getpid()
        if client is None or self._process != process:
            with _lock:
                if self._client is None or self._process != process:
                    self._client, self._process = httpx.Client(verify=_context(), limits=LIMITS), process
                    # Held there, the client is never garbage together with its sockets, which might go first and warn.
                    self._end = weakref.finalize(self, _close_in, process, self._client)
                client = self._client
        response = client.send(request, **options)
        response.extensions[_HELD] = self
        return response

    def close(self) -> None:
        """Close the connections. Those of a client that nobody closed are closed when it goes."""
        self.is_closed = True
        if self._end is not None:
            self._end()


def _close_in(process: int, client: httpx.Client) -> None:
    """Close a client in the process that made it: in a forked one that would end the connections of the parent."""
    if process == os.getpid():
        client.close()


class OwnAsyncClient:
    """The same for async programs, with an httpx client for each event loop that uses it.

    Connections belong to the loop that opened them. A program that runs `asyncio.run` twice, or loops in several
    threads, would otherwise be handed connections of a loop that is over.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._clients: dict[Loop, tuple[httpx.AsyncClient, AsyncGenerator[None]]] = {}

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send with the client of the running loop."""
        loop = running_loop()
        known = self._clients.get(loop)
        if known is None:
            for other in [other for other in list(self._clients) if is_over(other)]:
                _in_use.discard(self._clients.pop(other)[1])
            client = httpx.AsyncClient(verify=shared_context(), limits=LIMITS)
            known = self._clients[loop] = client, _closing_at_the_end(client)
            _in_use.add(known[1])
            await anext(known[1])
        response = await known[0].send(request, **options)
        response.extensions[_HELD] = self
        return response

    async def aclose(self) -> None:
        """Close the connections of the running loop; a loop that ends closes its own."""
        self.is_closed = True
        known = self._clients.pop(running_loop(), None)
        if known is not None:
            _in_use.discard(known[1])
            await known[1].aclose()

    def __del__(self) -> None:
        for loop, (_, end) in self._clients.items():
            _in_use.discard(end)
            run_soon(loop, partial(_close, end))


_in_use: Final[set[AsyncGenerator[None]]] = set()
"""What keeps a client out of the garbage until it is closed: its open sockets would be warned of there."""


async def _close(end: AsyncGenerator[None]) -> None:
    await end.aclose()


async def _closing_at_the_end(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    """Close a client when the loop that this began on ends: `asyncio.run` and trio close what generators are left."""
    try:
        yield
    finally:
        await client.aclose()
