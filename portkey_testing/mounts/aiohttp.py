"""The fake for aiohttp, and for other clients that send through it: over connections that exist in memory only.

aiohttp is handed a connection whose other end is here, in place of one that it would have opened. What lies above that
is its own: how it writes a request and reads an answer, its timeouts, its exceptions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from http.client import responses
from typing import Any, Final, Protocol

import httptools
import httpx

from portkey_client._clock import Clock
from portkey_testing._patching import Patches
from portkey_testing.mounts._answering import Answered, answer, gateway_request
from portkey_testing.timeline import GatewayRequest, Responder

_BODILESS: Final = frozenset({204, 304})
"""Statuses of answers that have no body, not even an empty one."""


class Mount(Protocol):
    """What is mounted, as far as it matters here.

    Attributes:
        responder: What answers.
        clock: The clock it answers on.
    """

    responder: Responder
    clock: Clock

    def takes(self, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request is answered here."""
        ...


def patch(patches: Patches, aiohttp: Any, mounted: Callable[[], Mount | None]) -> None:
    """Connect the gateway's requests to what is `mounted` when they come; all others go their way."""
    original = aiohttp.TCPConnector.connect

    async def connect(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        mount, url = mounted(), str(request.url)
        if mount is None or not mount.takes(url, [(name.encode(), b"") for name in request.headers]):
            return await original(self, request, *args, **kwargs)
        loop, key = asyncio.get_running_loop(), request.connection_key
        client = aiohttp.client_proto.ResponseHandler(loop)
        client.connection_made(_Connection(mount, url, client, partial(aiohttp.ClientConnectorError, key)))
        client.force_close()  # it is not to be kept for a request that no mount knows of
        self._acquired.add(client)  # it is to be closed with the session
        return aiohttp.connector.Connection(self, key, client, loop)

    patches.replace(aiohttp.TCPConnector, "connect", connect)


class _Connection(asyncio.Transport):
    """A connection for one request. aiohttp writes to it; what comes back goes straight to its protocol.

    Args:
        mount: What answers.
        url: The whole URL that is asked for.
        client: The protocol of aiohttp's at the other end.
        unreachable: Makes what aiohttp raises where a connection cannot be opened, of the operating system's error.
    """

    def __init__(self, mount: Mount, url: str, client: Any, unreachable: Callable[[OSError], Exception]) -> None:
        super().__init__()
        self._mount = mount
        self._url = url
        self._client = client
        self._unreachable = unreachable
        self._parser: Any = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answering: asyncio.Task[None] | None = None
        self._lost = False

    # What aiohttp does with it

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._parser.feed_data(data)

    def pause_reading(self) -> None:
        self._flowing.clear()

    def resume_reading(self) -> None:
        self._flowing.set()

    def is_closing(self) -> bool:
        return self._lost

    def close(self) -> None:
        if self._answering is not None:
            self._answering.cancel()
        self._lose(None)

    def abort(self) -> None:
        self.close()

    # What the parser finds in the request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if any(name.lower() == b"expect" for name, _ in self._headers):
            self._client.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        request = gateway_request(method, self._url, self._headers, b"".join(self._body), {})
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))

    # The answer

    async def _answer(self, request: GatewayRequest) -> None:
        try:
            # The exceptions of httpx stand for faults until they are told to aiohttp, below.
            answered = answer(self._mount.responder, self._mount.clock, request, {}, httpx)
            await answered.playback.astart()
            await self._play(request.method, answered)
        except httpx.ConnectError as error:
            self._client.set_exception(self._unreachable(_of_the_system(error)))
        except httpx.RemoteProtocolError:
            self._lose(None)
        except httpx.TransportError as error:
            self._lose(_of_the_system(error))
        except asyncio.CancelledError:  # aiohttp has closed the connection
            raise
        except BaseException as failure:  # noqa: BLE001  # aiohttp raises it, where the request was made
            self._lose(failure)

    async def _play(self, method: str, answered: Answered) -> None:
        status, headers = answered.timeline.status, answered.headers
        bodiless = method == "HEAD" or status in _BODILESS
        chunked = not bodiless and all(name.lower() != b"content-length" for name, _ in headers)
        if chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        lines = [
            b"HTTP/1.1 %d %s" % (status, responses.get(status, "").encode()),
            *(b"%s: %s" % each for each in headers),
        ]
        self._client.data_received(b"\r\n".join([*lines, b"", b""]))
        try:
            async for piece in answered.playback:
                await self._flowing.wait()
                if piece and not bodiless:
                    self._client.data_received(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        finally:
            answered.playback.close()
        if chunked:
            self._client.data_received(b"0\r\n\r\n")

    def _lose(self, error: BaseException | None) -> None:
        """End the connection, once: in order, or by an error."""
        if not self._lost:
            self._lost = True
            # Not at once, as with every transport: its parser may be what closes the connection.
            asyncio.get_running_loop().call_soon(self._client.connection_lost, error)


def _of_the_system(error: httpx.TransportError) -> OSError:
    """The operating system's error behind one of httpx's."""
    return error.__context__ if isinstance(error.__context__, OSError) else OSError(str(error))
