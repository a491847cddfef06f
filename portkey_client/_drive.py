"""The only code that sends, reads or sleeps: a driver for `_exchange`, sync and async, and the reading of streams.

Waiting happens on the clock of the call's watch, which whoever answered its request may have left there (see `_clock`).
The response body is undone by `_body`, not by httpx.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, Final, TypeVar, cast

import httpx

from ._body import BodyDecoder, BodyError
from ._exchange import MAX_BODY_BYTES, SEND_ERRORS, Body, Call, Exchange, Read, Send, Sleep
from ._http import OwnAsyncClient, OwnClient
from ._watch import Watch
from .errors import ConfigurationError

T = TypeVar("T")
StreamT = TypeVar("StreamT", httpx.SyncByteStream, httpx.AsyncByteStream)

_NOTHING: Final = httpx.ByteStream(b"")


def drive(exchange: Exchange[T], client: httpx.Client | OwnClient, call: Call[Any], auth: httpx.Auth | None) -> T:
    """Run an exchange to its end."""
    request, watch = call.request, call.watch
    outcome: object = None
    error: Exception | None = None
    while True:
        try:
            effect = exchange.send(outcome) if error is None else exchange.throw(error)
        except StopIteration as stop:
            answer: T = stop.value
            return answer
        finally:
            outcome = error = None  # an exception holds this frame: if it held the exception, both would linger
        match effect:
            case Send():
                try:
                    _check_open(client)
                    token = watch.begin(request.extensions)
                    try:
                        outcome = client.send(request, stream=True, follow_redirects=False, **_auth(auth))
                    finally:
                        watch.end(token)
                except SEND_ERRORS as raised:
                    error = raised
                except RuntimeError:  # as httpx says that its client is closed
                    _check_open(client)
                    raise
            case Read(response=response, seconds=seconds):
                outcome = _read(response, seconds, watch)
            case Sleep(seconds=seconds):
                watch.clock.sleep(seconds)


async def adrive(
    exchange: Exchange[T], client: httpx.AsyncClient | OwnAsyncClient, call: Call[Any], auth: httpx.Auth | None
) -> T:
    """Run an exchange to its end."""
    request, watch = call.request, call.watch
    outcome: object = None
    error: Exception | None = None
    while True:
        try:
            effect = exchange.send(outcome) if error is None else exchange.throw(error)
        except StopIteration as stop:
            answer: T = stop.value
            return answer
        finally:
            outcome = error = None  # an exception holds this frame: if it held the exception, both would linger
        match effect:
            case Send():
                try:
                    _check_open(client)
                    token = watch.begin(request.extensions)
                    try:
                        outcome = await client.send(request, stream=True, follow_redirects=False, **_auth(auth))
                    finally:
                        watch.end(token)
                except SEND_ERRORS as raised:
                    error = raised
                except RuntimeError:  # as httpx says that its client is closed
                    _check_open(client)
                    raise
            case Read(response=response, seconds=seconds):
                outcome = await _aread(response, seconds, watch)
            case Sleep(seconds=seconds):
                await watch.clock.asleep(seconds)


def _check_open(client: httpx.Client | httpx.AsyncClient | OwnClient | OwnAsyncClient) -> None:
    """Raise ConfigurationError if the client was closed since the call began, by another thread or task."""
    if client.is_closed:
        raise ConfigurationError("the client was closed while this call was under way")


def _auth(auth: httpx.Auth | None) -> dict[str, httpx.Auth]:
    return {} if auth is None else {"auth": auth}


def _read(response: httpx.Response, seconds: float | None, watch: Watch) -> Body:
    reading = _Reading(seconds, watch)
    try:
        with closing(pieces(response)) as reads:
            for data in reads:
                reading.add(data)
    except (*SEND_ERRORS, BodyError) as error:
        return reading.body(error)
    finally:
        response.close()
        let_go(response)
    return reading.body(None)


async def _aread(response: httpx.Response, seconds: float | None, watch: Watch) -> Body:
    reading = _Reading(seconds, watch)
    try:
        async with aclosing(apieces(response)) as reads:
            async for data in reads:
                reading.add(data)
    except (*SEND_ERRORS, BodyError) as error:
        return reading.body(error)
    finally:
        await response.aclose()
        let_go(response)
    return reading.body(None)


def let_go(response: httpx.Response) -> None:
    """Take a closed response's stream away: the two hold each other, and would wait for the garbage collector."""
    response.stream = _NOTHING


class _Reading:
    """A body being read, within a time and a size."""

    __slots__ = ("_pieces", "_size", "_watch")

    def __init__(self, seconds: float | None, watch: Watch) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._watch = watch
        watch.allow(seconds)

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._pieces.clear()
            raise BodyError(f"the body is larger than {MAX_BODY_BYTES:,} bytes")
        self._watch.check()

    def body(self, error: Exception | None) -> Body:
        return Body(b"".join(self._pieces), error)


def pieces(response: httpx.Response) -> Generator[bytes]:
    """The body as it arrives, decompressed.

    Raises:
        BodyError: It comes in a coding that was not asked for.
        StreamError: It cannot be read any more.
    """
    if response.is_stream_consumed:  # made by a test double from bytes, or read by an event hook
        return (data for data in (response.content,))
    decoder = BodyDecoder(response.headers.get("content-encoding"))
    reads = cast(Generator[bytes], iter(_stream_of(response, httpx.SyncByteStream)))
    return reads if decoder.passes_through else _decoded(reads, decoder)


def _decoded(reads: Generator[bytes], decoder: BodyDecoder) -> Generator[bytes]:
    with closing(reads):
        for data in reads:
            yield from decoder.feed(data)
        decoder.finish()


def apieces(response: httpx.Response) -> AsyncGenerator[bytes]:
    """As `pieces`, for an async client's response."""
    if response.is_stream_consumed:
        return _atonce(response.content)
    decoder = BodyDecoder(response.headers.get("content-encoding"))
    reads = cast(AsyncGenerator[bytes], aiter(_stream_of(response, httpx.AsyncByteStream)))
    return reads if decoder.passes_through else _adecoded(reads, decoder)


async def _atonce(data: bytes) -> AsyncGenerator[bytes]:
    yield data


async def _adecoded(reads: AsyncGenerator[bytes], decoder: BodyDecoder) -> AsyncGenerator[bytes]:
    async with aclosing(reads):
        async for data in reads:
            for piece in decoder.feed(data):
                yield piece
        decoder.finish()


def _stream_of(response: httpx.Response, kind: type[StreamT]) -> StreamT:
    """The body's stream itself, for one reading: `iter_raw` does the same checks, and then takes its time per read."""
    if response.is_closed:
        raise httpx.StreamClosed
    if not isinstance(response.stream, kind):
        raise httpx.StreamError(f"the body is no {kind.__name__}: the transport is one for another kind of client")
    response.is_stream_consumed = True
    return response.stream
