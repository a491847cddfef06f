"""The fake for every httpx and httpx2 client of the process, through respx.

respx patches httpcore, below httpx, and asks a list of routers. One more router in that list is all this needs, so a
user's own `respx_mock` goes on working beside it, whichever was started first: ours comes first, and says of a request
that is not the gateway's what respx wants to hear. httpcore2, below httpx2, is not known to respx 0.23 and is patched
here in the same place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpcore
import httpx
from respx.mocks import HTTPCoreMocker, HTTPXMocker, Mocker
from respx.models import AllMockedAssertionError, PassThrough

from portkey_client._clock import Clock
from portkey_testing._playback import ExceptionClasses
from portkey_testing.failures import EscapedRequest
from portkey_testing.mounts._exchange import Answered, answer, gateway_request
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
        escaped: Told about a request that would leave the machine, before it fails the test.
    """

    def __init__(
        self,
        responder: Responder,
        clock: Clock,
        gateway_urls: Iterable[str],
        escaped: Callable[[EscapedRequest], None],
    ) -> None:
        self.responder = responder
        self.clock = clock
        self.origins = frozenset(_origin(url) for url in gateway_urls)
        self.escaped = escaped

    def claims(self, url: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request is the gateway's."""
        return any(name.lower().startswith(_PREFIX) for name, _ in headers) or _origin(url) in self.origins

    def keep_on_machine(self, method: str, url: str) -> None:
        """Let a request that is not the gateway's go its way, unless that leads off this machine.

        Raises:
            EscapedRequest: it does.
        """
        host = urlsplit(url).hostname or ""
        if not _is_loopback(host):
            failure = EscapedRequest(
                f"{method} {url} would leave this machine, and a test with the fake gateway must not. Mock that "
                f"service too, "
                "for example with respx_mock, or point the client at the gateway."
            )
            self.escaped(failure)
            raise failure


class _Router:
    """One mount in one of respx's mockers."""

    def __init__(self, mount: Mount, mocker: type[Mocker], library: object) -> None:
        self._mount = mount
        self._mocker = mocker
        self._library = cast("ExceptionClasses", library)

    def handler(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, request.read())
        answered.playback.start()
        return _response(answered)

    async def async_handler(self, request: httpx.Request) -> httpx.Response:
        answered = self._answer(request, await request.aread())
        await answered.playback.astart()
        return _response(answered)

    def _answer(self, request: httpx.Request, body: bytes) -> Answered:
        mount, url = self._mount, str(request.url)
        if not mount.claims(url, request.headers.raw):
            if any(not isinstance(router, _Router) for router in self._mocker.routers):
                raise AllMockedAssertionError(f"{request!r} is not the gateway's")
            mount.keep_on_machine(request.method, url)
            raise PassThrough(f"{request!r} is not the gateway's", request=request, origin=cast("Any", self))
        return answer(
            mount.responder, mount.clock, as_gateway_request(request, body), request.extensions, self._library
        )


@contextmanager
def mounted(mount: Mount) -> Iterator[None]:
    """Answer the gateway's requests from every client of the process, until the block is left.

    The innermost mount answers.
    """
    core, client = _Router(mount, HTTPCoreMocker, httpcore), _Router(mount, HTTPXMocker, httpx)
    _insert(HTTPCoreMocker, core)
    # Not started: it only has to be there if the user's own router works at that level.
    _insert(HTTPXMocker, client)
    HTTPCoreMocker.start()
    try:
        with _httpcore2_mounted(mount):
            yield
    finally:
        _remove(HTTPXMocker, client)
        _remove(HTTPCoreMocker, core)
        HTTPCoreMocker.stop()


def _insert(mocker: type[Mocker], router: _Router) -> None:
    cast("list[Any]", mocker.routers).insert(0, router)


def _remove(mocker: type[Mocker], router: _Router) -> None:
    cast("list[Any]", mocker.routers).remove(router)


@contextmanager
def _httpcore2_mounted(mount: Mount) -> Iterator[None]:
    if find_spec("httpcore2") is None:
        yield
        return
    import httpcore2

    library = cast("ExceptionClasses", httpcore2)
    sync_pool, async_pool = httpcore2.ConnectionPool, httpcore2.AsyncConnectionPool
    send, asend = sync_pool.handle_request, async_pool.handle_async_request

    def handle_request(pool: Any, request: Any) -> Any:
        url = _url(request)
        if not mount.claims(url, request.headers):
            mount.keep_on_machine(request.method.decode(), url)
            return send(pool, request)
        body = b"".join(request.stream)
        answered = _answer2(mount, request, url, body, library)
        answered.playback.start()
        return httpcore2.Response(answered.timeline.status, headers=answered.headers, content=answered.playback)

    async def handle_async_request(pool: Any, request: Any) -> Any:
        url = _url(request)
        if not mount.claims(url, request.headers):
            mount.keep_on_machine(request.method.decode(), url)
            return await asend(pool, request)
        body = b"".join([part async for part in request.stream])
        answered = _answer2(mount, request, url, body, library)
        await answered.playback.astart()
        return httpcore2.Response(answered.timeline.status, headers=answered.headers, content=answered.playback)

    _patch(sync_pool, "handle_request", handle_request)
    _patch(async_pool, "handle_async_request", handle_async_request)
    try:
        yield
    finally:
        _patch(sync_pool, "handle_request", send)
        _patch(async_pool, "handle_async_request", asend)


def _patch(cls: type[Any], name: str, method: Callable[..., Any]) -> None:
    setattr(cls, name, method)


def _answer2(mount: Mount, request: Any, url: str, body: bytes, library: ExceptionClasses) -> Answered:
    seen = gateway_request(request.method.decode(), url, request.headers, body, request.extensions)
    return answer(mount.responder, mount.clock, seen, request.extensions, library)


def _url(request: Any) -> str:
    url = request.url
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme.decode()}://{url.host.decode()}{port}{url.target.decode()}"


def _response(answered: Answered) -> httpx.Response:
    return httpx.Response(answered.timeline.status, headers=answered.headers, stream=answered.playback)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
