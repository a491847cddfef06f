"""Streamed answers as programs hold them: a sync and an async shell around `ChunkReader`."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing, suppress
from functools import partial
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx

from ._body import BodyError
from ._chunks import ChunkReader
from ._drive import apieces, let_go, pieces
from ._exchange import SEND_ERRORS
from ._gateway import GatewayInfo, gateway_headers
from ._loops import Handle
from ._watch import Watch
from .types import ChatCompletionChunk, ChatCompletions

T_co = TypeVar("T_co", covariant=True)


class _StreamBase(Generic[T_co]):
    """What both kinds of stream know.

    Attributes:
        response: The HTTP response; its headers are there before the first chunk.
    """

    def __init__(self, reader: ChunkReader) -> None:
        self.response = reader.response
        self._reader = reader

    @property
    def gateway(self) -> GatewayInfo:
        """What the gateway said about this answer."""
        return self._reader.gateway

    @property
    def hook_results(self) -> Any:
        """The guardrails' verdicts, None until (or unless) the gateway has sent them."""
        return self._reader.hook_results

    @property
    def partial(self) -> ChatCompletions:
        """The answer as far as it has been read."""
        return self._reader.completion()

    def get_headers(self) -> dict[str, str]:
        """The gateway's own response headers, without their `x-portkey-` prefix."""
        return gateway_headers(self.response.headers)


class Stream(_StreamBase[T_co]):
    """A streamed answer: iterate over its chunks. Leaving the loop early hangs up, as `close()` and `with` do.

    The errors are raised while iterating.

    Raises:
        StreamError: The stream reports an error.
        IncompleteStreamError: It ends before the answer does.
        APIResponseValidationError: It holds something that is no chunk.
    """

    def __init__(self, reader: ChunkReader, chunks: Generator[T_co]) -> None:
        super().__init__(reader)
        # Handed to the loop that iterates: when the loop is left, its generator is dropped, and that hangs up.
        self._chunks: Generator[T_co] | None = chunks
        self._alive: weakref.ref[Any] = weakref.ref(chunks)  # a generator, of which Generator says too little

    def __iter__(self) -> Iterator[T_co]:
        chunks = self._chunks or self._alive()
        if chunks is None:
            return _nothing_left(self._reader)
        self._chunks = None
        return chunks

    def __next__(self) -> T_co:
        chunks = self._chunks or self._alive()
        return next(_nothing_left(self._reader) if chunks is None else chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._chunks is not None:  # nobody took them over
            self.close()

    def close(self) -> None:
        """Hang up; chunks not yet read are lost. Harmless if repeated."""
        chunks = self._alive()
        if chunks is not None and chunks.gi_running:
            _interrupt(self.response)  # another thread is reading, and hangs up as soon as it is told
            return
        if chunks is not None:
            chunks.close()
        self._chunks = None  # a loop that begins now is told that there is nothing to read
        self.response.close()

    def get_final_completion(self) -> ChatCompletions:
        """Read to the end and return the whole answer."""
        for _ in self:
            pass
        return self.partial


class AsyncStream(_StreamBase[T_co]):
    """A streamed answer: `async for` over its chunks. Leaving the loop early hangs up, as `close()` or `async with` do.

    The errors are raised while iterating.

    Raises:
        StreamError: The stream reports an error.
        IncompleteStreamError: It ends before the answer does.
        APIResponseValidationError: It holds something that is no chunk.
    """

    def __init__(self, reader: ChunkReader, chunks: AsyncGenerator[T_co]) -> None:
        super().__init__(reader)
        # As in Stream: handed to the loop that iterates.
        self._chunks: Handle[T_co] | None = Handle(chunks, partial(_hang_up, chunks, reader.response))
        self._alive = weakref.ref(self._chunks)

    def __aiter__(self) -> AsyncIterator[T_co]:
        chunks = self._chunks or self._alive()
        if chunks is None:
            return _anothing_left(self._reader)
        self._chunks = None
        return chunks

    async def __anext__(self) -> T_co:
        chunks = self._chunks or self._alive()
        return await anext(_anothing_left(self._reader) if chunks is None else chunks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; chunks not yet read are lost. Harmless if repeated."""
        handle = self._alive()
        self._chunks = None  # as in Stream
        if handle is not None:
            await handle.aclose()
        await self.response.aclose()

    aclose = close

    async def get_final_completion(self) -> ChatCompletions:
        """Read to the end and return the whole answer."""
        async for _ in self:
            pass
        return self.partial


def _interrupt(response: httpx.Response) -> None:
    """End a body that another thread waits for: closing a socket does not wake whoever reads from it."""
    connection = response.extensions.get("network_stream")
    if connection is None or response.http_version == "HTTP/2":  # no socket, or that of others too
        response.close()
        return
    with suppress(OSError):  # the other side may have been faster
        connection.get_extra_info("socket").shutdown(SHUT_RDWR)


async def _hang_up(chunks: AsyncGenerator[Any], response: httpx.Response) -> None:
    await chunks.aclose()
    await response.aclose()


def stream(response: httpx.Response, watch: Watch) -> Stream[ChatCompletionChunk]:
    """The chunks of a response whose body is unread."""
    reader = ChunkReader(response, watch)
    return Stream(reader, _read(reader))


def astream(response: httpx.Response, watch: Watch) -> AsyncStream[ChatCompletionChunk]:
    """The chunks of a response whose body is unread."""
    reader = ChunkReader(response, watch)
    return AsyncStream(reader, _aread(reader))


def _read(reader: ChunkReader) -> Generator[ChatCompletionChunk]:
    one = reader.one
    try:
        with closing(pieces(reader.response)) as reads:
            for data in reads:
                chunk = one(data)
                if chunk is not None:
                    yield chunk
                    continue
                yield from reader.feed(data)
                if reader.done:
                    return  # at once: the connection may stay open for long, or bring more that does not count
        reader.end()
    except (*SEND_ERRORS, BodyError) as error:
        raise reader.broken(error) from error
    finally:
        reader.response.close()
        let_go(reader.response)


async def _aread(reader: ChunkReader) -> AsyncGenerator[ChatCompletionChunk]:
    one = reader.one
    try:
        async with aclosing(apieces(reader.response)) as reads:
            async for data in reads:
                chunk = one(data)
                if chunk is not None:
                    yield chunk
                    continue
                for each in reader.feed(data):
                    yield each
                if reader.done:
                    return
        reader.end()
    except (*SEND_ERRORS, BodyError) as error:
        raise reader.broken(error) from error
    finally:
        await reader.response.aclose()
        let_go(reader.response)


def _nothing_left(reader: ChunkReader) -> Iterator[Any]:
    reader.check_read_to_end()
    return iter(())


async def _anothing_left(reader: ChunkReader) -> AsyncGenerator[Any]:
    reader.check_read_to_end()
    return
    yield  # makes this a generator
