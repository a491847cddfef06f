"""The fake as an httpx transport: nothing is patched, and only the client that is given it sees it."""

from __future__ import annotations

from typing import cast

import httpx

from portkey_client._clock import Clock
from portkey_testing._playback import ExceptionClasses
from portkey_testing.mounts._exchange import Answered, answer, gateway_request
from portkey_testing.timeline import GatewayRequest, Responder

_HTTPX = cast("ExceptionClasses", httpx)


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)` alike."""

    def __init__(self, responder: Responder, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, request.read())
        answered.playback.start()
        return _response(answered)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, await request.aread())
        await answered.playback.astart()
        return _response(answered)

    def _answer(self, request: httpx.Request, body: bytes) -> Answered:
        return answer(self._responder, self._clock, as_gateway_request(request, body), request.extensions, _HTTPX)


def as_gateway_request(request: httpx.Request, body: bytes) -> GatewayRequest:
    """An httpx request as the gateway sees it."""
    return gateway_request(request.method, str(request.url), request.headers.raw, body, request.extensions)


def _response(answered: Answered) -> httpx.Response:
    return httpx.Response(answered.timeline.status, headers=answered.headers, stream=answered.playback)
