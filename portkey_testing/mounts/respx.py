"""The fake for every httpx and httpx2 client of the process, beside a user's own respx.

respx patches httpcore, below httpx, and asks a list of routers. One more router in that list is all this needs, so a
user's own `respx_mock` goes on working beside it, whichever was started first: ours comes first, and says of a request
that is not the gateway's what respx wants to hear. The gateway's own requests are mostly answered before they get
there, where httpx hands them over, since that way costs more than the answer. httpcore2, below httpx2, is not known to
respx 0.23 and is patched here in the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from types import FunctionType
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpcore
import httpx
from respx.mocks import HTTPCoreMocker, HTTPXMocker, Mocker
from respx.models import AllMockedAssertionError, PassThrough

from portkey_client._clock import Clock
from portkey_testing._patching import InPlace, Patches
from portkey_testing._playback import ExceptionClasses
from portkey_testing.guard import Guard
from portkey_testing.mounts import live
from portkey_testing.mounts._answering import Answered, answer, core_url, gateway_request
from portkey_testing.mounts.transport import as_gateway_request
from portkey_testing.timeline import Responder

GATEWAY_URLS: Final = ("https://api.portkey.ai/v1", "http://localhost:8787/v1", "http://127.0.0.1:8787/v1")
"""Where the client sends requests by default: the hosted gateway, and a gateway on this machine."""

_PREFIX = b"x-portkey-"


class Mount:
    """One fake, as seen from the HTTP libraries.

    Attributes:
        responder: What answers.
        clock: The clock it answers on.
        origins: Scheme, host and port of each gateway; a request to one of them is ours even without Portkey's headers.
        guard: Judges the requests that are not the gateway's.
    """

    def __init__(self, responder: Responder, clock: Clock, gateway_urls: Iterable[str], guard: Guard) -> None:
        self.responder = responder
        self.clock = clock
        self.origins = frozenset(_origin(url) for url in gateway_urls)
        self.guard = guard

    def claims(self, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request is the gateway's."""
        return _origin(url) in self.origins or any(name.lower().startswith(_PREFIX) for name, _ in headers)

    def takes(self, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request is answered here: it is the gateway's, and no recording decides about it below."""
        return self.claims(url, headers) and not live.takes(url, headers)

    def is_foreign(self, method: str, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request is not the gateway's and may go its way, or is a recording's, which decides about it below.

        Raises:
            EscapedRequest: it is not, and its way leads off this machine.
        """
        if live.takes(url, headers):
            return True
        if self.claims(url, headers):
            return False
        self.guard.hold_http(f"{method} {url}", urlsplit(url).hostname or "")
        return True


class _Router:
    """One mount in one of respx's mockers."""

    def __init__(self, mount: Mount, mocker: type[Mocker], library: ExceptionClasses) -> None:
        self._mount = mount
        self._mocker = mocker
        self._library = library

    def handler(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, request.read())
        answered.playback.start()
        return _response(answered)

    async def async_handler(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, await request.aread())
        await answered.playback.astart()
        return _response(answered)

    def _answer(self, request: httpx.Request, body: bytes) -> Answered:
        mount, url, headers = self._mount, str(request.url), request.headers.raw
        others = any(not isinstance(router, _Router) for router in self._mocker.routers)
        if others and not mount.claims(url, headers):
            raise AllMockedAssertionError(f"{request!r} is not the gateway's")
        if mount.is_foreign(request.method, url, headers):
            # A Route by its type, which there is none of here; respx does not read it.
            raise PassThrough(f"{request!r} is not the gateway's", request=request, origin=cast("Any", self))
        return answer(
            mount.responder, mount.clock, as_gateway_request(request, body), request.extensions, self._library
        )


@contextmanager
def mounted(mount: Mount) -> Generator[None]:
    """Answer the gateway's requests from every client of the process, until the block is left.

    The innermost mount answers.
    """
    core, client = _Router(mount, HTTPCoreMocker, httpcore), _Router(mount, HTTPXMocker, httpx)
    _routers(HTTPCoreMocker).insert(0, core)
    # Not started: it only has to be there if the user's own router works at that level.
    _routers(HTTPXMocker).insert(0, client)
    HTTPCoreMocker.start()
    try:
        with _IN_PLACE.entered(mount):
            yield
    finally:
        # A mocker that has routers does not stop, so a user's that ended before ours could not: each is stopped here.
        _routers(HTTPXMocker).remove(client)
        HTTPXMocker.stop()
        _routers(HTTPCoreMocker).remove(core)
        HTTPCoreMocker.stop()


def _routers(mocker: type[Mocker]) -> list[Any]:
    """Whom respx asks, in this order. It calls their `handler` or `async_handler` only, so that ours is no `Router`."""
    return mocker.routers


def _patch(patches: Patches) -> None:
    _patch_reading(patches)
    _patch_transports(patches)
    if find_spec("httpcore2") is not None:
        _patch_httpcore2(patches)
    patches.when_imported("aiohttp", partial(_patch_aiohttp, patches))


def _patch_aiohttp(patches: Patches, aiohttp: Any) -> None:
    from portkey_testing.mounts.aiohttp import patch

    patch(patches, aiohttp, lambda: _IN_PLACE.latest)


_IN_PLACE: Final = InPlace[Mount](_patch)


def _patch_reading(patches: Patches) -> None:
    """Let respx read what a proxy is asked for, a whole URL or a host to connect to.

    respx appends that to the URL of the proxy, which makes none, and so breaks every request that goes its way through
    a proxy.
    """
    original: Callable[..., httpx.Request] = HTTPCoreMocker.to_httpx_request

    def to_httpx_request(*, request: Any) -> httpx.Request:
        target: bytes = request.url.target
        if target.startswith(b"/") or (request.method != b"CONNECT" and b"://" not in target):
            return original(request=request)
        url = target.decode() if b"://" in target else f"https://{target.decode()}"
        return httpx.Request(request.method.decode(), url, headers=request.headers, stream=request.stream)

    patches.replace(HTTPCoreMocker, "to_httpx_request", to_httpx_request)


def _patch_transports(patches: Patches) -> None:
    """Take the gateway's requests where httpx's own transports hand them over to httpcore.

    Not where somebody stands there already, as OpenTelemetry does, and would see nothing of them: those arrive at the
    router, as do requests of other transports.
    """
    send, asend = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        mount, url, headers = _IN_PLACE.latest, str(request.url), request.headers.raw
        if mount is None or not mount.takes(url, headers):
            return send(transport, request)
        seen = gateway_request(request.method, url, headers, request.read(), request.extensions)
        answered = answer(mount.responder, mount.clock, seen, request.extensions, httpx)
        answered.playback.start()
        return _response(answered)

    async def handle_async_request(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        mount, url, headers = _IN_PLACE.latest, str(request.url), request.headers.raw
        if mount is None or not mount.takes(url, headers):
            return await asend(transport, request)
        seen = gateway_request(request.method, url, headers, await request.aread(), request.extensions)
        answered = answer(mount.responder, mount.clock, seen, request.extensions, httpx)
        await answered.playback.astart()
        return _response(answered)

    if _is_untouched(httpx.HTTPTransport, send):
        patches.replace(httpx.HTTPTransport, "handle_request", handle_request)
    if _is_untouched(httpx.AsyncHTTPTransport, asend):
        patches.replace(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request)


def _is_untouched(owner: Any, method: object) -> bool:
    """Whether a method is the one its class was made with."""
    return isinstance(method, FunctionType) and method.__globals__ is owner.__init__.__globals__


def _patch_httpcore2(patches: Patches) -> None:
    import httpcore2

    sync_pool, async_pool = httpcore2.ConnectionPool, httpcore2.AsyncConnectionPool
    send, asend = sync_pool.handle_request, async_pool.handle_async_request

    def handle_request(pool: Any, request: Any) -> Any:
        mount, url = _IN_PLACE.latest, core_url(request)
        if mount is None or mount.is_foreign(request.method.decode(), url, request.headers):
            return send(pool, request)
        answered = _answered(mount, request, url, b"".join(request.stream), httpcore2)
        answered.playback.start()
        return httpcore2.Response(answered.timeline.status, headers=answered.headers, content=answered.playback)

    async def handle_async_request(pool: Any, request: Any) -> Any:
        mount, url = _IN_PLACE.latest, core_url(request)
        if mount is None or mount.is_foreign(request.method.decode(), url, request.headers):
            return await asend(pool, request)
        body = b"".join([part async for part in request.stream])
        answered = _answered(mount, request, url, body, httpcore2)
        await answered.playback.astart()
        return httpcore2.Response(answered.timeline.status, headers=answered.headers, content=answered.playback)

    patches.replace(sync_pool, "handle_request", handle_request)
    patches.replace(async_pool, "handle_async_request", handle_async_request)


def _answered(mount: Mount, request: Any, url: str, body: bytes, library: ExceptionClasses) -> Answered:
    seen = gateway_request(request.method.decode(), url, request.headers, body, request.extensions)
    return answer(mount.responder, mount.clock, seen, request.extensions, library)


def _response(answered: Answered) -> httpx.Response:
    return httpx.Response(answered.timeline.status, headers=answered.headers, stream=answered.playback)


@lru_cache(maxsize=128)
def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
