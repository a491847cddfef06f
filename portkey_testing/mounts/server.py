"""The fake on a real port of this machine: for other processes, other languages, and what only a socket shows."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import uvicorn

from portkey_testing.mounts.asgi import App, Connections, GatewayApp, Scope
from portkey_testing.timeline import Responder

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HTTPProtocol
    except ImportError:  # httptools is uvicorn's own option; h11 comes with it
        from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol

START_TIMEOUT_S: Final = 10.0

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""Socket option that turns closing into a reset."""


class Server:
    """A running server.

    Attributes:
        root: Its URL without a path.
        url: The base URL for clients: the root with `/v1`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.root = f"http://{host}:{port}"
        self.url = f"{self.root}/v1"

    @property
    def env(self) -> Mapping[str, str]:
        """Environment variables that point the usual SDKs at it. The keys mean nothing."""
        return {
            "PORTKEY_PROXY": self.url,
            "PORTKEY_BASE_URL": self.url,
            "PORTKEY_GATEWAY_URL": self.url,
            "PORTKEY_API_KEY": "portkey-testing",
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": "portkey-testing",
        }


class ScaledClock:
    """Real time from 0 on, in seconds of the script: waiting takes `scale` times as long, 0 does not wait."""

    def __init__(self, scale: float) -> None:
        if scale < 0:
            raise ValueError(f"time_scale is a number from 0 on, not {scale!r}")
        self._scale = scale
        self._origin = time.monotonic()

    def time(self) -> float:
        """Seconds since the start, in the time of the script."""
        return (time.monotonic() - self._origin) / (self._scale or 1.0)

    def sleep(self, seconds: float) -> None:
        """Wait in this thread."""
        time.sleep(seconds * self._scale)

    async def asleep(self, seconds: float) -> None:
        """Wait in this task."""
        await anyio.sleep(seconds * self._scale)


class _Connections:
    """The open connections by the address of their client, for those who want to break one."""

    def __init__(self) -> None:
        self.transports: dict[Any, asyncio.Transport] = {}

    def reset(self, scope: Scope) -> None:
        transport = self.transports[tuple(scope["client"])]
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()

    def close(self, scope: Scope) -> None:
        self.transports[tuple(scope["client"])].close()


@contextmanager
def serving(responder: Responder, *, host: str, port: int, time_scale: float) -> Iterator[Server]:
    """Serve what `responder` answers until the block is left.

    Raises:
        OSError: the port cannot be had; the message says which.
    """
    clock = ScaledClock(time_scale)
    with running(lambda connections: GatewayApp(responder, clock, connections), host=host, port=port) as server:
        yield server


@contextmanager
def running(make_app: Callable[[Connections], App], *, host: str, port: int) -> Iterator[Server]:
    """Serve an application until the block is left.

    Args:
        make_app: Makes it, given how to break connections.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        OSError: the port cannot be had; the message says which.
    """
    listener = _listener(host, port)
    connections = _Connections()
    app = make_app(connections)
    config = uvicorn.Config(
        app, http=_protocol(connections), log_level="critical", lifespan="off", timeout_graceful_shutdown=1, ws="none"
    )
    server = _Uvicorn(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="portkey-testing-server")
    thread.start()
    try:
        if not server.ready.wait(START_TIMEOUT_S):
            raise RuntimeError(f"the server did not start within {START_TIMEOUT_S:g} s")
        yield Server(host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class _Uvicorn(uvicorn.Server):
    """Says when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _protocol(connections: _Connections) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol, noting its connections."""

    class Noting(HTTPProtocol):
        def connection_made(self, transport: Any) -> None:
            self._peer = transport.get_extra_info("peername")[:2]
            connections.transports[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.transports.pop(self._peer, None)
            super().connection_lost(exc)

    return Noting


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as cause:
        listener.close()
        raise OSError(
            cause.errno, f"cannot listen on {host}:{port}: {cause.strerror}. Take another port, or 0 for any free one."
        ) from cause
    listener.listen(1024)
    return listener
