"""Requests on their way to the real gateway, while a recording looks on.

The pools of httpcore and httpcore2, below httpx and httpx2, are patched where respx patches them too. A request that
goes live is sent by the pool it was given to, so that certificates, proxies and HTTP versions are the client's own, and
each piece of the answer is handed on as it comes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from portkey_client._clock import Clock, leave_clock
from portkey_testing import guard
from portkey_testing._patching import InPlace, Patches
from portkey_testing._playback import Playback
from portkey_testing.mounts._answering import Answered, core_url, gateway_request
from portkey_testing.timeline import GatewayRequest, Timeline

ENCODINGS: Final = ("gzip", "deflate", "identity", "")
"""Content codings that a recording can undo, and so search for secrets."""


class Watch(Protocol):
    """Looks on while one exchange happens. Times are in seconds of `time.monotonic`."""

    def head(self, status: int, headers: Sequence[tuple[str, str]], at: float) -> None:
        """The response headers have come."""
        ...

    def read(self, data: bytes, at: float) -> None:
        """A piece of the body has come."""
        ...

    def end(self, at: float) -> None:
        """The answer is complete."""
        ...

    def close(self, at: float) -> None:
        """The client has closed the answer; means nothing if that is over."""
        ...

    def fail(self, error: BaseException, at: float) -> None:
        """The exchange broke off."""
        ...


class Recording(Protocol):
    """What decides about requests while it records."""

    @property
    def gateway(self) -> str | None:
        """Base URL of the gateway that requests go to; None leaves them the one they were made for."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock that what is replayed is played on."""
        ...

    def claims(self, url: str, headers: Iterable[tuple[bytes, bytes]], /) -> bool:
        """Whether a request is the gateway's."""
        ...

    def answer(self, request: GatewayRequest) -> Timeline | None:
        """What was recorded before; None sends the request to the real gateway."""
        ...

    def begin(self, request: GatewayRequest, at: float) -> Watch:
        """A request is about to be sent to the real gateway."""
        ...


def watched(recording: Recording) -> AbstractContextManager[None]:
    """Let `recording` decide about the gateway's requests of this process until the block is left."""
    return _IN_POOLS.entered(recording)


def takes(url: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a recording that goes on at the moment decides about a request."""
    recording = _IN_POOLS.latest
    return recording is not None and recording.claims(url, headers)


def _patch_pools(patches: Patches) -> None:
    for name in ("httpcore", "httpcore2"):
        if find_spec(name) is not None:
            _patch_library(patches, import_module(name))


_IN_POOLS: Final = InPlace[Recording](_patch_pools)


def _patch_library(patches: Patches, library: Any) -> None:
    sync_pool, async_pool = library.ConnectionPool, library.AsyncConnectionPool
    send, asend = sync_pool.handle_request, async_pool.handle_async_request

    def handle_request(pool: Any, request: Any) -> Any:
        recording = _deciding(request)
        if recording is None:
            return send(pool, request)
        body = b"".join(request.stream)
        decided = _decide(recording, request, body, library)
        if isinstance(decided, Answered):
            decided.playback.start()
            return _replayed(decided, library)
        with guard.open_for_recording():
            return decided.received(partial(send, pool))

    async def handle_async_request(pool: Any, request: Any) -> Any:
        recording = _deciding(request)
        if recording is None:
            return await asend(pool, request)
        body = b"".join([part async for part in request.stream])
        decided = _decide(recording, request, body, library)
        if isinstance(decided, Answered):
            await decided.playback.astart()
            return _replayed(decided, library)
        with guard.open_for_recording():
            return await decided.areceived(partial(asend, pool))

    patches.replace(sync_pool, "handle_request", handle_request)
    patches.replace(async_pool, "handle_async_request", handle_async_request)


def _deciding(request: Any) -> Recording | None:
    """What decides about a request that a pool was given; None where it is not a recording's, or on its way already."""
    recording = _IN_POOLS.latest
    if recording is None or guard.is_open_for_recording() or not recording.claims(core_url(request), request.headers):
        return None
    return recording


def _decide(recording: Recording, request: Any, body: bytes, library: Any) -> Answered | _Live:
    seen = gateway_request(request.method.decode(), core_url(request), request.headers, body, request.extensions)
    timeline = recording.answer(seen)
    if timeline is None:
        return _Live(recording, request, seen, library)
    slot = leave_clock(request.extensions, recording.clock, recording.clock.time())
    playback = Playback(timeline, recording.clock, seen.timeouts, library, slot)
    return Answered(timeline, playback)


def _replayed(answered: Answered, library: Any) -> Any:
    return library.Response(answered.timeline.status, headers=answered.headers, content=answered.playback)


class _Live:
    """One request that goes to the real gateway."""

    def __init__(self, recording: Recording, request: Any, seen: GatewayRequest, library: Any) -> None:
        self._library = library
        self._onward = _onward(request, seen.body, recording.gateway, library)
        self._watch = recording.begin(seen, time.monotonic())

    def received(self, send: Any) -> Any:
        with self._sending():
            response = send(self._onward)
        return self._watched(response)

    async def areceived(self, send: Any) -> Any:
        with self._sending():
            response = await send(self._onward)
        return self._watched(response)

    @contextmanager
    def _sending(self) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            self._watch.fail(error, time.monotonic())
            raise

    def _watched(self, response: Any) -> Any:
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in response.headers]
        self._watch.head(response.status, headers, time.monotonic())
        return self._library.Response(
            response.status,
            headers=response.headers,
            content=_WatchedStream(response.stream, self._watch),
            extensions=response.extensions,
        )


class _WatchedStream:
    """Hands a body on as it comes."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._inner:
                self._watch.read(data, time.monotonic())
                yield data
        except BaseException as error:
            self._watch.fail(error, time.monotonic())
            raise
        self._watch.end(time.monotonic())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._inner:
                self._watch.read(data, time.monotonic())
                yield data
        except BaseException as error:
            self._watch.fail(error, time.monotonic())
            raise
        self._watch.end(time.monotonic())

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(lambda: self._watch.close(time.monotonic()))
            self._inner.close()

    async def aclose(self) -> None:
        with ExitStack() as stack:
            stack.callback(lambda: self._watch.close(time.monotonic()))
            await self._inner.aclose()


def _onward(request: Any, body: bytes, gateway: str | None, library: Any) -> Any:
    """The request as it is sent: to the gateway that was asked for, and for an answer that can be read."""
    url = core_url(request) if gateway is None else rebased(core_url(request), gateway)
    headers = [
        (name, readable(value.decode("latin-1")).encode() if name.lower() == b"accept-encoding" else value)
        for name, value in request.headers
    ]
    if gateway is not None:
        host = urlsplit(url).netloc.rpartition("@")[2].encode()
        headers = [(name, host if name.lower() == b"host" else value) for name, value in headers]
    return library.Request(request.method, url, headers=headers, content=body, extensions=request.extensions)


def readable(accepted: str) -> str:
    """A value of `accept-encoding` that asks for nothing a recording cannot undo."""
    codings = (part.partition(";")[0].strip() for part in accepted.split(","))
    return accepted if all(coding in ENCODINGS for coding in codings) else "gzip, deflate"


def rebased(url: str, gateway: str) -> str:
    """A request's URL at another gateway, of whose base URL the path `/v1` may be left out."""
    parts, base = urlsplit(url), gateway.rstrip("/")
    if not urlsplit(base).path:
        base += "/v1"
    head, version, below = parts.path.partition("/v1/")
    path = below if version else head.lstrip("/")
    return f"{base}/{path}" + (f"?{parts.query}" if parts.query else "")
