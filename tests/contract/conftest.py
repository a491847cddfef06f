"""Every way to reach the fake: each mount, with each library, synchronous and on each event loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, Final

import anyio
import httpx
import httpx2
import pytest

from portkey_testing import FakeGateway
from portkey_testing.mounts.asgi import GatewayApp

ORIGIN: Final = "https://api.portkey.ai"
PATH: Final = "/v1/chat/completions"
URL: Final = ORIGIN + PATH
HEADERS: Final = {"x-portkey-api-key": "k", "x-portkey-provider": "openai", "authorization": "Bearer key"}
LIBRARIES: Final = (httpx, httpx2)
BACKENDS: Final = (None, "asyncio", "trio")


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        pieces: The body, as it came.
    """

    status: int
    headers: dict[str, str]
    pieces: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each event of a stream, decoded where it is JSON."""
        blocks = self.body.decode().split("\n\n")
        data = [block.removeprefix("data:").strip() for block in blocks if block.strip()]
        return [text if text == "[DONE]" else json.loads(text) for text in data]

    @property
    def said(self) -> str:
        """The text of a stream."""
        choices = [choice for event in self.events if event != "[DONE]" for choice in event["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


def chat(question: str = "Weather?", **fields: Any) -> dict[str, Any]:
    """The body of an ordinary request."""
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": question}], **fields}


@dataclass(frozen=True, slots=True)
class Wire:
    """One library, used in one way.

    Attributes:
        library: httpx or httpx2.
        backend: The event loop; None for the synchronous client.
        transport: Makes the transport of each client; None for the library's own.
        origin: Where the gateway is.
    """

    library: ModuleType
    backend: str | None
    transport: Callable[[], Any] | None = None
    origin: str = ORIGIN

    def send(
        self,
        body: Any = None,
        *,
        method: str = "POST",
        path: str = PATH,
        url: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = 5.0,
        at_most: int | None = None,
        into: list[bytes] | None = None,
        **client: Any,
    ) -> Received:
        """Send one request from a client of its own.

        Args:
            body: JSON; that of an ordinary request by default.
            method: HTTP method.
            path: Where to, at the gateway.
            url: Where to, if not to the gateway.
            headers: Those of an ordinary request by default.
            timeout: Seconds.
            at_most: Hang up after that many pieces of the body.
            into: Where the pieces go, for those who want them although the rest does not come.
            client: More arguments of the client.
        """
        request = {
            "method": method,
            "url": url or self.origin + path,
            "headers": HEADERS if headers is None else headers,
        }
        if method == "POST":
            request["json"] = chat() if body is None else body
        pieces: list[bytes] = [] if into is None else into
        # No certificates: nothing gets as far as to need them, and reading them takes longer than the test.
        client |= {"timeout": timeout, "verify": False}
        if self.transport is not None:
            client["transport"] = self.transport()
        if self.backend is None:
            return self._send(request, client, pieces, at_most)
        return anyio.run(partial(self._asend, request, client, pieces, at_most), backend=self.backend)

    def _send(self, request: Any, options: Any, pieces: list[bytes], at_most: int | None) -> Received:
        with self.library.Client(**options) as client, client.stream(**request) as response:
            for piece in response.iter_bytes():
                pieces.append(piece)
                if len(pieces) == at_most:
                    break
            return Received(response.status_code, dict(response.headers), pieces)

    async def _asend(self, request: Any, options: Any, pieces: list[bytes], at_most: int | None) -> Received:
        async with self.library.AsyncClient(**options) as client, client.stream(**request) as response:
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                if len(pieces) == at_most:
                    break
            return Received(response.status_code, dict(response.headers), pieces)


Reach = Callable[[FakeGateway, ModuleType, str | None], AbstractContextManager[Wire]]


@contextmanager
def _respx(fake: FakeGateway, library: ModuleType, backend: str | None) -> Generator[Wire]:
    with fake.mounted():
        yield Wire(library, backend)


@contextmanager
def _transport(fake: FakeGateway, library: ModuleType, backend: str | None) -> Generator[Wire]:
    yield Wire(library, backend, fake.transport)


@contextmanager
def _asgi(fake: FakeGateway, library: ModuleType, backend: str | None) -> Generator[Wire]:
    app = GatewayApp(fake, fake.clock)
    yield Wire(library, backend, lambda: library.ASGITransport(app))


@contextmanager
def _served(fake: FakeGateway, library: ModuleType, backend: str | None) -> Generator[Wire]:
    with fake.serve(time_scale=0) as server:
        yield Wire(library, backend, origin=server.root)


IN_PROCESS: Final[dict[str, Reach]] = {"respx": _respx, "transport": _transport}
"""Mounts in whose hands time and exceptions are."""

WAYS: Final = [
    *(
        (reach, library, backend)
        for reach in (_respx, _transport, _served)
        for library in LIBRARIES
        for backend in BACKENDS
    ),
    # An ASGI application is asynchronous, and this one is written for asyncio.
    *((_asgi, library, "asyncio") for library in LIBRARIES),
]
"""Every way there is."""


@pytest.fixture
def fake() -> FakeGateway:
    """A fake that is not mounted yet."""
    return FakeGateway()


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend or "sync")
def backend(request: pytest.FixtureRequest) -> Any:
    """The synchronous client, or an event loop for the asynchronous one."""
    return request.param


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    """Both libraries, which have the same interface."""
    return request.param


@pytest.fixture
def plain(library: ModuleType, backend: str | None) -> Wire:
    """An ordinary client, whatever is mounted."""
    return Wire(library, backend)


@pytest.fixture(params=IN_PROCESS)
def wire(request: pytest.FixtureRequest, fake: FakeGateway, library: ModuleType, backend: str | None) -> Iterator[Wire]:
    """A client that reaches `fake` in process, in virtual time."""
    with IN_PROCESS[request.param](fake, library, backend) as made:
        yield made


def _name(way: tuple[Reach, ModuleType, str | None]) -> str:
    reach, library, backend = way
    return f"{getattr(reach, '__name__', '')[1:]}-{library.__name__}-{backend or 'sync'}"


@pytest.fixture(params=WAYS, ids=_name)
def anywhere(request: pytest.FixtureRequest, fake: FakeGateway) -> Iterator[Wire]:
    """A client that reaches `fake` in any way."""
    reach, library, backend = request.param
    with reach(fake, library, backend) as made:
        yield made


@pytest.fixture(params=[way for way in WAYS if way[0] is _served], ids=_name)
def port(request: pytest.FixtureRequest, fake: FakeGateway) -> Iterator[Wire]:
    """A client that reaches `fake` over a socket."""
    reach, library, backend = request.param
    with reach(fake, library, backend) as made:
        yield made


@pytest.fixture
def server() -> Iterator[str]:
    """A service of the application's on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"local")

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    thread.join()
    running.server_close()
