"""The only code that sends, reads or sleeps: a driver for `_exchange`, sync and async, and the reading of streams.

Waiting happens on the clock of the request that was sent, which whoever answered it may have left there (see `_clock`).
The response body is undone by `_body`, not by httpx.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing
from typing import TypeVar, cast

import httpx

from ._body import BodyDecoder, BodyError
from ._clock import Clock, clock_of
from ._exchange import MAX_BODY_BYTES, SEND_ERRORS, Body, Exchange, Read, Send, Sleep
from ._http import OwnAsyncClient, OwnClient

T = TypeVar("T")


def drive(
    exchange: Exchange[T], client: httpx.Client | OwnClient, request: httpx.Request, auth: httpx.Auth | None
) -> T:
    """Run an exchange to its end."""
    timeouts = dict(request.extensions["timeout"])  # reading a body may shorten them
    outcome: object = None
    error: Exception | None = None
    while True:
        try:
            effect = exchange.send(outcome) if error is None else exchange.throw(error)
        except StopIteration as stop:
            answer: T = stop.value
            return answer
        outcome = error = None
        match effect:
            case Send():
                try:
                    outcome = client.send(request, stream=True, follow_redirects=False, **_auth(auth))
                except SEND_ERRORS as raised:
                    error = raised
            case Read(response=response, seconds=seconds):
                outcome = _read(response, seconds)
            case Sleep(seconds=seconds):
                clock_of(request.extensions).sleep(seconds)
                request.extensions["timeout"] = dict(timeouts)


async def adrive(
    exchange: Exchange[T], client: httpx.AsyncClient | OwnAsyncClient, request: httpx.Request, auth: httpx.Auth | None
) -> T:
    """Run an exchange to its end."""
    timeouts = dict(request.extensions["timeout"])  # reading a body may shorten them
    outcome: object = None
    error: Exception | None = None
    while True:
        try:
            effect = exchange.send(outcome) if error is None else exchange.throw(error)
        except StopIteration as stop:
            answer: T = stop.value
            return answer
        outcome = error = None
        match effect:
            case Send():
                try:
                    outcome = await client.send(request, stream=True, follow_redirects=False, **_auth(auth))
                except SEND_ERRORS as raised:
                    error = raised
            case Read(response=response, seconds=seconds):
                outcome = await _aread(response, seconds)
            case Sleep(seconds=seconds):
                await clock_of(request.extensions).asleep(seconds)
                request.extensions["timeout"] = dict(timeouts)


def _auth(auth: httpx.Auth | None) -> dict[str, httpx.Auth]:
    return {} if auth is None else {"auth": auth}


def _read(response: httpx.Response, seconds: float | None) -> Body:
    reading = _Reading(response, seconds)
    try:
        for data in pieces(response):
            reading.add(data)
    except (*SEND_ERRORS, BodyError) as error:
        return reading.body(error)
    finally:
        response.close()
    return reading.body(None)


async def _aread(response: httpx.Response, seconds: float | None) -> Body:
    reading = _Reading(response, seconds)
    try:
        async for data in apieces(response):
            reading.add(data)
    except (*SEND_ERRORS, BodyError) as error:
        return reading.body(error)
    finally:
        await response.aclose()
    return reading.body(None)


class _Reading:
    """A body being read, within a time and a size."""

    __slots__ = ("_clock", "_deadline", "_pieces", "_request", "_size")

    def __init__(self, response: httpx.Response, seconds: float | None) -> None:
        self._request = response.request
        self._pieces: list[bytes] = []
        self._size = 0
        self._clock: Clock = clock_of(self._request.extensions)
        self._deadline = None if seconds is None else self._clock.time() + seconds
        shorten_read_timeout(self._request, seconds)

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._pieces.clear()
            raise BodyError(f"the body is larger than {MAX_BODY_BYTES:,} bytes")
        # Each read has its own timeout, which a body that drips never runs into.
        if self._deadline is not None and self._clock.time() > self._deadline:
            raise httpx.ReadTimeout("the body took too long", request=self._request)

    def body(self, error: Exception | None) -> Body:
        return Body(b"".join(self._pieces), error)


def shorten_read_timeout(request: httpx.Request, seconds: float | None) -> None:
    """Let no single read of the body take longer than `seconds`: httpcore looks this up when reading begins."""
    timeouts = request.extensions.get("timeout")
    if seconds is not None and isinstance(timeouts, dict):
        read = timeouts.get("read")
        timeouts["read"] = seconds if read is None else min(read, seconds)


def pieces(response: httpx.Response) -> Generator[bytes]:
    """The body as it arrives, decompressed."""
    if response.is_stream_consumed:  # made by a test double from bytes, or read by an event hook
        yield response.content
        return
    decoder = BodyDecoder(response.headers.get("content-encoding"))
    reads: Iterator[bytes] = response.iter_raw()
    if decoder.passes_through:
        yield from reads
    else:
        for data in reads:
            yield from decoder.feed(data)
        decoder.finish()


async def apieces(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The body as it arrives, decompressed."""
    if response.is_stream_consumed:
        yield response.content
        return
    decoder = BodyDecoder(response.headers.get("content-encoding"))
    async with aclosing(cast(AsyncGenerator[bytes], response.aiter_raw())) as reads:
        if decoder.passes_through:
            async for data in reads:
                yield data
        else:
            async for data in reads:
                for piece in decoder.feed(data):
                    yield piece
            decoder.finish()
