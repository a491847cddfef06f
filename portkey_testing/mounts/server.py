"""The fake on a real port of this machine: for other processes, other languages, and what only a socket shows."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import anyio
import uvicorn

from portkey_testing.mounts._node_http import OpenConnections, protocol
from portkey_testing.mounts.asgi import App, Connections, GatewayApp, Receive, Scope, Send
from portkey_testing.timeline import Responder

START_TIMEOUT_S: Final = 10.0
GRACE_S: Final = 1.0
"""How long answers on their way may still take when the server stops."""

_DATE_S: Final = 1.0
"""How long the `date` header is right."""


class Server:
    """A running server.

    Attributes:
        root: Its URL without a path.
        url: The base URL for clients: the root with `/v1`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.root = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
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


@contextmanager
def serving(responder: Responder, *, host: str, port: int, time_scale: float) -> Generator[Server]:
    """Serve what `responder` answers until the block is left.

    Raises:
        OSError: the port cannot be had; the message says which.
        TypeError: the port is no number.
        ValueError: it is not one of a port.
    """
    if not isinstance(port, int):
        raise TypeError(f"serve(port=...) takes a number, 0 for any free port, not {port!r}")
    if not 0 <= port <= 65535:
        raise ValueError(f"serve(port=...) takes a number from 0 to 65535, not {port}")
    clock = ScaledClock(time_scale)
    with running(lambda connections: GatewayApp(responder, clock, connections), host=host, port=port) as server:
        yield server


@contextmanager
def running(make_app: Callable[[Connections], App], *, host: str, port: int) -> Generator[Server]:
    """Serve an application until the block is left.

    Args:
        make_app: Makes it, given how to break connections.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        OSError: the port cannot be had; the message says which.
        BaseExceptionGroup: the application failed while it answered, so that clients got less than they should have.
    """
    listener = _listener(host, port)
    connections = OpenConnections()
    app = make_app(connections)
    failures: list[BaseException] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            # The server stops. Its client learns that by the end of the connection, not by an error of uvicorn's.
            connections.close(scope)
            raise
        except BaseException as failure:
            failures.append(failure)
            raise

    server = _Uvicorn(
        uvicorn.Config(
            watched,
            http=protocol(connections),
            log_level="critical",
            lifespan="off",
            ws="none",
            access_log=False,
            proxy_headers=False,  # a client is known by its real address, whatever it says
            server_header=False,
        )
    )
    # A daemon, so that a process whose end leaves the block open ends all the same.
    thread = threading.Thread(target=_run, args=(server, listener), name="portkey-testing-server", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(START_TIMEOUT_S):
            raise RuntimeError(f"the server did not start within {START_TIMEOUT_S:g} s")
        yield Server(host, listener.getsockname()[1])
    finally:
        server.stop()
        thread.join()
        listener.close()
    if failures:
        raise BaseExceptionGroup("the served application failed", failures)


class _Uvicorn(uvicorn.Server):
    """Says when it accepts connections, and stops as soon as it is told to: its base looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._stop: Callable[[], object] | None = None

    def stop(self) -> None:
        """End it, from any thread."""
        if self._stop is not None:
            self._stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._stopped = asyncio.Event()
        self._stop = partial(asyncio.get_running_loop().call_soon_threadsafe, self._stopped.set)
        self.ready.set()

    async def main_loop(self) -> None:
        while not self._stopped.is_set():
            await self.on_tick(0)  # which sets the date
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _DATE_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # of those on which nothing is being answered; the others end with their answer
        if answering := set(self.server_state.tasks):
            _, late = await asyncio.wait(answering, timeout=GRACE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # to whoever does not read what was sent
        await asyncio.sleep(0)


def _run(server: _Uvicorn, listener: socket.socket) -> None:
    """Run the server to its end on a loop of its own: uvicorn below 0.36 would change those of the whole process."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """That of uvloop, which there is none of on Windows; None is asyncio's own."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


def _listener(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio switches Nagle's algorithm off only where it is: else the second write of
    # an answer would wait for the client's delayed acknowledgement, 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
