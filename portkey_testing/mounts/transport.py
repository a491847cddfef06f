"""The fake as a transport of httpx or httpx2: nothing is patched, and only the client that is given it sees it."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, cast

import httpx

from portkey_client._clock import Clock
from portkey_testing._playback import Playback
from portkey_testing.mounts._answering import Answered, answer, gateway_request
from portkey_testing.timeline import GatewayRequest, Responder


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """For the `transport` of a `Client` or `AsyncClient`, of httpx and of httpx2."""

    def __init__(self, responder: Responder, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, request.read())
        answered.playback.start()
        return _response(request, answered)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, await request.aread())
        await answered.playback.astart()
        return _response(request, answered)

    def _answer(self, request: httpx.Request, body: bytes) -> Answered:
        library = _library_of(request)
        return answer(
            self._responder,
            self._clock,
            as_gateway_request(request, body),
            request.extensions,
            library,
            body=_playback_for(library),
        )


def as_gateway_request(request: httpx.Request, body: bytes) -> GatewayRequest:
    """A request of httpx or httpx2 as the gateway sees it."""
    return gateway_request(request.method, str(request.url), request.headers.raw, body, request.extensions)


def _response(request: httpx.Request, answered: Answered) -> httpx.Response:
    response: httpx.Response = _library_of(request).Response(
        answered.timeline.status, headers=answered.headers, stream=answered.playback
    )
    return response


def _library_of(request: httpx.Request) -> Any:
    """The library a request belongs to; httpx2 has httpx's interface, but wants its own classes back."""
    roots = (cls.__module__.partition(".")[0] for cls in type(request).__mro__)
    return sys.modules[next(root for root in roots if root in {"httpx", "httpx2"})]


@cache
def _playback_for(library: Any) -> type[Playback]:
    """The playback as a stream of that library, which tells streams by their classes."""
    if library is httpx:
        return Playback
    # To typeshed, what `type` makes has no bases.
    return cast("type[Playback]", type("Playback", (Playback, library.SyncByteStream, library.AsyncByteStream), {}))
