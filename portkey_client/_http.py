"""The httpx clients that this package makes for itself.

One TLS context serves all of a process, and loads its certificates when the first connection needs them: that takes
some 40 ms, which a client that never connects (one in a test, say) need not pay.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import httpx

LIMITS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100)

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

    Attributes:
        is_closed: Whether it has been closed.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._client: httpx.Client | None = None

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send; by any number of threads at a time."""
        client = self._client
        if client is None:
            with _lock:
                client = self._client = self._client or httpx.Client(verify=_context(), limits=LIMITS)
        return client.send(request, **options)

    def close(self) -> None:
        """Close the connections."""
        self.is_closed = True
        if self._client is not None:
            self._client.close()


class OwnAsyncClient:
    """The same for async programs, with an httpx client for each event loop that uses it.

    Connections belong to the loop that opened them. A program that runs `asyncio.run` twice, or loops in several
    threads, would otherwise be handed connections of a loop that is over.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._clients: dict[object, httpx.AsyncClient] = {}

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send with the client of the running loop."""
        loop = _running_loop()
        client = self._clients.get(loop)
        if client is None:
            for other in [other for other in list(self._clients) if _is_over(other)]:
                del self._clients[other]
            client = self._clients[loop] = httpx.AsyncClient(verify=shared_context(), limits=LIMITS)
        return await client.send(request, **options)

    async def aclose(self) -> None:
        """Close the connections of the running loop; those of loops that are over have nobody left to close them."""
        self.is_closed = True
        client = self._clients.pop(_running_loop(), None)
        if client is not None:
            await client.aclose()


def _is_over(loop: object) -> bool:
    """Whether a loop has ended. Trio does not tell, so a new loop of trio's takes the place of the last one."""
    is_closed: Callable[[], bool] | None = getattr(loop, "is_closed", None)
    return True if is_closed is None else is_closed()


def _running_loop() -> object:
    import asyncio  # not needed by a process that only calls synchronously

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if (trio := sys.modules.get("trio")) is not None:
            return trio.lowlevel.current_trio_token()
        raise
