"""Streamed answers: one incremental machine from bytes to chunks, and a sync and an async shell around it."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, Self, TypeVar

import httpx
from pydantic import ValidationError

from ._accumulate import Accumulator
from ._body import BodyError
from ._clock import clock_of
from ._drive import apieces, pieces
from ._exchange import MAX_BODY_BYTES, SEND_ERRORS, connection_error, decode_body
from ._gateway import GatewayInfo, gateway_headers
from ._sse import ServerSentEvent, SSEDecoder
from .errors import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    IncompleteStreamError,
    PortkeyError,
    StreamConnectionError,
    StreamError,
    StreamTimeoutError,
    describe,
    excerpt,
)
from .types import ChatCompletionChunk, ChatCompletions, set_headers

T_co = TypeVar("T_co", covariant=True)

_HEAD_BYTES: Final = 16_384
"""How much of a body without any event is kept, to show what came instead."""


class ChunkReader:
    """Turns the bytes of one streamed answer into chunks, and knows whether the answer is whole.

    Attributes:
        answer: What has arrived so far.
        hook_results: The guardrails' verdicts, once their frame has come.
        done: Whether `[DONE]` has come; nothing after it counts.
        response: Where the bytes come from; its headers say what the gateway did.
    """

    __slots__ = (
        "_clock", "_decoder", "_ended", "_head", "_idle_bytes", "_idle_since", "_patience",
        "answer", "done", "hook_results", "response",
    )  # fmt: skip

    def __init__(self, response: httpx.Response) -> None:
        self.answer = Accumulator()
        self.hook_results: Any = None
        self.done = False
        self.response = response
        self._decoder = SSEDecoder()
        self._ended = False
        self._head = b""
        self._clock = clock_of(response.request.extensions)
        self._patience: float | None = response.request.extensions["timeout"]["read"]
        self._idle_bytes = 0
        self._idle_since: float | None = None

    def feed(self, data: bytes) -> Iterator[ChatCompletionChunk]:
        """Take one read and give out the chunks it completes.

        Raises:
            StreamError: The stream reports an error.
            APIResponseValidationError: An event is no chunk.
        """
        events = self._decoder.feed(data)
        if not events:
            self._wait_on(data)
            return
        self._idle_bytes, self._idle_since = 0, None
        validate = ChatCompletionChunk.__pydantic_validator__.validate_json
        answer = self.answer
        for event in events:
            raw = event.raw
            try:
                chunk: ChatCompletionChunk = validate(raw)
            except (ValidationError, RecursionError) as error:
                text = raw.strip()
                if text == b"[DONE]":
                    self.done = self._ended = True
                    return
                if not text:  # some servers keep a connection alive with empty data
                    continue
                self._refuse(event, error)
            # The slot rather than the property `model_extra`: this runs once per token.
            if (not chunk.choices or chunk.__pydantic_extra__) and not self._is_chunk(event, chunk):
                continue
            answer.add(chunk, raw)
            if answer.failure is not None:
                self._fail_with_reason(answer.failure)
            yield chunk

    def end(self) -> None:
        """The body has ended.

        Raises:
            IncompleteStreamError: The answer has not.
            StreamError: The body was no event stream but reports an error.
        """
        pending = self._decoder.pending
        self._ended = True
        if self.done or (pending is not None and pending.raw.strip() == b"[DONE]"):
            return
        if self.answer.empty:
            self._fail_without_events(pending)
        if self.answer.unfinished:
            choices = ", ".join(map(str, sorted(self.answer.unfinished)))
            why = "in the middle of an event" if pending is not None else "without [DONE]"
            raise self.failure(
                IncompleteStreamError,
                f"the stream ended {why} and without a finish reason for choice {choices}: the answer is cut off",
            )

    def failure(self, cls: type[APIError], message: str, body: object = None) -> APIError:
        """An error about this stream, with what had arrived."""
        gateway = self.gateway
        facts = str(gateway)
        message = f"Error code: {self.response.status_code} - {message}" + (f" ({facts})" if facts else "")
        if cls is APIResponseValidationError:
            error: APIError = APIResponseValidationError(self.response, body, message=message)
        elif body is None:
            error = cls(message, self.response.request, gateway=gateway)
        else:
            error = cls(message, self.response.request, body=body, gateway=gateway)
        error.hook_results = error.hook_results or self.hook_results
        error.keep_partial(self.completion())
        return error

    def broken(self, cause: Exception) -> APIError:
        """The error for an exception raised while reading."""
        reason = str(cause) if isinstance(cause, BodyError) else ""
        if not reason:
            described = connection_error(cause, self.response.request)
            cls = StreamTimeoutError if isinstance(described, APITimeoutError) else StreamConnectionError
            return self.failure(cls, f"the stream broke off: {described.message}")
        return self.failure(IncompleteStreamError, f"the stream broke off: {reason}")

    @property
    def gateway(self) -> GatewayInfo:
        return GatewayInfo.from_headers(self.response.headers)

    def completion(self) -> ChatCompletions:
        """What has arrived so far, with the headers it came with."""
        completion = self.answer.completion()
        set_headers(completion, self.response.headers)
        return completion

    def check_read_to_end(self) -> None:
        """Raise PortkeyError if reading stopped before the end, so that a second loop does not take it for the end."""
        if not self._ended:
            raise PortkeyError(
                "This stream was closed before its end: a loop over it was left early, or close() was called."
            )

    def _wait_on(self, data: bytes) -> None:
        """Take note of a read that completed no event.

        Comments, and an event that never ends, keep a connection alive without being progress: they get as long as one
        read may take.
        """
        if self.answer.empty and len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        self._idle_bytes += len(data)
        if self._idle_bytes > MAX_BODY_BYTES:
            raise BodyError(f"a single event is larger than {MAX_BODY_BYTES:,} bytes")
        now = self._clock.time()
        if self._idle_since is None:
            self._idle_since = now
        elif self._patience is not None and now - self._idle_since > self._patience:
            raise httpx.ReadTimeout(f"no chunk for {self._patience:g} s", request=self.response.request)

    def _is_chunk(self, event: ServerSentEvent, chunk: ChatCompletionChunk) -> bool:
        """Look closer at a frame that has no choices, or fields beyond a chunk's."""
        extra = chunk.model_extra or {}
        if extra.get("hook_results") is not None and not chunk.choices:
            self.hook_results = extra["hook_results"]
            return False
        if extra.get("error") is not None or event.event == "error" or extra.get("status") == "failure":
            self._report(decode_body(event.raw))
        # Pings and the like are no chunks; a frame that says nothing of an answer is none either.
        return bool(chunk.model_fields_set)

    def _report(self, body: object) -> NoReturn:
        raise self.failure(StreamError, describe("the stream reports an error", body, GatewayInfo()), body)

    def _fail_with_reason(self, reason: str) -> NoReturn:
        message = f"the provider failed while it was answering: finish reason {reason!r}"
        raise self.failure(StreamError, message, {"error": {"message": message, "type": reason}})

    def _refuse(self, event: ServerSentEvent, cause: ValidationError | RecursionError) -> NoReturn:
        if event.event == "error":
            self._report(decode_body(event.raw))
        text = excerpt(event.data)
        message = f"the stream holds an event that is no chunk: {text}"
        raise self.failure(APIResponseValidationError, message, decode_body(event.raw)) from cause

    def _fail_without_events(self, pending: ServerSentEvent | None) -> NoReturn:
        body = decode_body(self._head)
        if isinstance(body, dict) and body.get("error") is not None:
            self._report(body)
        kind = self.response.headers.get("content-type") or "no content type"
        got = f"{kind}: {excerpt(self._head.decode('utf-8', 'replace'))}" if self._head.strip() else f"nothing ({kind})"
        where = "in the middle of its first event" if pending is not None else "without a single chunk"
        raise self.failure(IncompleteStreamError, f"the stream ended {where}; got {got}")


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

    Raises (while iterating):
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
        if chunks is not None and not chunks.gi_running:  # in another thread, which is told by the connection
            chunks.close()
        self.response.close()

    def get_final_completion(self) -> ChatCompletions:
        """Read to the end and return the whole answer."""
        for _ in self:
            pass
        return self.partial


class AsyncStream(_StreamBase[T_co]):
    """A streamed answer: `async for` over its chunks. Leaving the loop early hangs up, as `close()` or `async with` do.

    Raises (while iterating):
        StreamError: The stream reports an error.
        IncompleteStreamError: It ends before the answer does.
        APIResponseValidationError: It holds something that is no chunk.
    """

    def __init__(self, reader: ChunkReader, chunks: AsyncGenerator[T_co]) -> None:
        super().__init__(reader)
        # As in Stream; a dropped async generator is closed by the event loop in its next round.
        self._chunks: AsyncGenerator[T_co] | None = chunks
        self._alive: weakref.ref[Any] = weakref.ref(chunks)  # a generator, of which Generator says too little

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
        chunks = self._alive()
        if chunks is not None and not chunks.ag_running:  # in another task, which is told by the connection
            await chunks.aclose()
        await self.response.aclose()

    aclose = close

    async def get_final_completion(self) -> ChatCompletions:
        """Read to the end and return the whole answer."""
        async for _ in self:
            pass
        return self.partial


def stream(response: httpx.Response) -> Stream[ChatCompletionChunk]:
    """The chunks of a response whose body is unread."""
    reader = ChunkReader(response)
    return Stream(reader, _read(reader))


def astream(response: httpx.Response) -> AsyncStream[ChatCompletionChunk]:
    """The chunks of a response whose body is unread."""
    reader = ChunkReader(response)
    return AsyncStream(reader, _aread(reader))


def _read(reader: ChunkReader) -> Generator[ChatCompletionChunk]:
    reads = pieces(reader.response)
    try:
        for data in reads:
            yield from reader.feed(data)
            if reader.done:
                return  # at once: the connection may stay open for long, or bring more that does not count
        reader.end()
    except (*SEND_ERRORS, BodyError) as error:
        raise reader.broken(error) from error
    finally:
        reads.close()
        reader.response.close()


async def _aread(reader: ChunkReader) -> AsyncGenerator[ChatCompletionChunk]:
    reads = apieces(reader.response)
    try:
        async for data in reads:
            for chunk in reader.feed(data):
                yield chunk
            if reader.done:
                return
        reader.end()
    except (*SEND_ERRORS, BodyError) as error:
        raise reader.broken(error) from error
    finally:
        await reads.aclose()
        await reader.response.aclose()


def _nothing_left(reader: ChunkReader) -> Iterator[Any]:
    reader.check_read_to_end()
    return iter(())


async def _anothing_left(reader: ChunkReader) -> AsyncGenerator[Any]:
    reader.check_read_to_end()
    return
    yield  # makes this a generator
