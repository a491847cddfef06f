"""A recording proxy as an ASGI application: any program, in any language, in front of the real gateway."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import httpx

from portkey_testing.failures import PortkeyTestFailure
from portkey_testing.mounts.asgi import Connections, Player, Receive, Scope, Send, asked, explain
from portkey_testing.mounts.live import Recording, Watch, readable, rebased
from portkey_testing.timeline import GatewayRequest

_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that are about one connection and not about the message: RFC 9110, section 7.6.1."""


class RecordingProxy:
    """Sends requests on to the real gateway while a recording looks on, and answers what was recorded before.

    Args:
        recording: What decides and keeps.
        gateway: Base URL of the real gateway.
        connections: How to break the program's connection where the gateway's broke.
    """

    def __init__(self, recording: Recording, gateway: str, connections: Connections) -> None:
        self._recording = recording
        self._gateway = gateway
        self._connections = connections
        self._player = Player(recording.clock, connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        request = await asked(scope, receive, send)
        if request is None:
            return
        try:
            recorded = self._recording.answer(request)
        except PortkeyTestFailure as failure:
            await explain(failure, send)
            return
        if recorded is None:
            await self._forward(request, scope, receive, send)
        else:
            await self._player.play(recorded, scope, receive, send)

    async def _forward(self, request: GatewayRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one request on, and each piece of its answer back as it comes, until the program hangs up."""
        watch = self._recording.begin(request, time.monotonic())
        exchange = asyncio.ensure_future(self._exchange(request, watch, send))
        hung_up = asyncio.ensure_future(receive())
        await asyncio.wait({exchange, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        hung_up.cancel()
        exchange.cancel()  # does nothing to one that is over
        await asyncio.wait({exchange})
        if exchange.cancelled():
            return
        try:
            exchange.result()
        except httpx.TransportError:
            self._connections.reset(scope)

    async def _exchange(self, request: GatewayRequest, watch: Watch, send: Send) -> None:
        try:
            # A transport for this request alone: a connection that the gateway breaks spoils no other. It has no
            # timeouts, since the program has its own.
            async with httpx.AsyncHTTPTransport() as transport:
                response = await transport.handle_async_request(self._onward(request))
                try:
                    await _hand_on(response, watch, send)
                finally:
                    await response.aclose()
        except BaseException as error:
            watch.fail(error, time.monotonic())
            raise

    def _onward(self, request: GatewayRequest) -> httpx.Request:
        headers = [(name, value) for name, value in request.headers.items() if name not in _OF_THE_CONNECTION]
        headers = [(name, readable(value) if name == "accept-encoding" else value) for name, value in headers]
        url = rebased(request.url, self._gateway)
        return httpx.Request(request.method, url, headers=headers, content=request.body)


async def _hand_on(response: httpx.Response, watch: Watch, send: Send) -> None:
    watch.head(response.status_code, response.headers.multi_items(), time.monotonic())
    kept = [
        (name.lower(), value)
        for name, value in response.headers.raw
        if name.decode("ascii").lower() not in _OF_THE_CONNECTION
    ]
    await send({"type": "http.response.start", "status": response.status_code, "headers": kept})
    async for data in response.aiter_raw():
        watch.read(data, time.monotonic())
        await send({"type": "http.response.body", "body": data, "more_body": True})
    # Before the last word to the program, which may hang up at once.
    watch.end(time.monotonic())
    await send({"type": "http.response.body", "body": b""})
