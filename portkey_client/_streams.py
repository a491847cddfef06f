"""Streamed answers: one incremental machine from bytes to chunks, and a sync and an async shell around it."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing, suppress
from functools import partial
from itertools import repeat
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, Self, TypeVar

import httpx
from pydantic import ValidationError

from ._accumulate import Accumulator
from ._body import BodyError
from ._drive import apieces, pieces
from ._exchange import MAX_BODY_BYTES, SEND_ERRORS, connection_error, decode_body
from ._gateway import GatewayInfo, gateway_headers
from ._loops import Handle
from ._sse import ServerSentEvent, SSEDecoder
from ._watch import Watch
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
from .types import ChatCompletionChunk, ChatCompletions, StreamChoice, is_error_reason, set_headers

T_co = TypeVar("T_co", covariant=True)

_LF: Final = 0x0A
_CR: Final = 0x0D

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
        "_decoder", "_ended", "_head", "_idle_bytes", "_keep", "_steady", "_validate", "_watch",
        "answer", "done", "hook_results", "response",
    )  # fmt: skip

    def __init__(self, response: httpx.Response, watch: Watch) -> None:
        self.answer = Accumulator()
        self._keep = self.answer.add
        self.hook_results: Any = None
        self.done = False
        self.response = response
        self._decoder = SSEDecoder()
        self._ended = False
        self._head = b""
        self._watch = watch
        watch.until = watch.due
        self._idle_bytes = 0
        self._steady = False  # no deadline is set, nothing held over, and the last read was not idle
        ChatCompletionChunk.model_rebuild()  # does nothing but the first time: it is built when it is needed
        self._validate: Callable[[bytes], ChatCompletionChunk]
        self._validate = ChatCompletionChunk.__pydantic_validator__.validate_json

    def one(self, data: bytes) -> ChatCompletionChunk | None:
        """The chunk in a read that is one plain event and nothing else, as nearly all are; None of any other.

        Either it takes the read, to the same effect as `feed` would, or nothing: then the read is for `feed`. It runs
        once per token, and each call and each attribute shows in the time: hence all in one piece.
        """
        raw = data[6:-2]
        if data[:6] != b"data: " or data[-2:] != b"\n\n" or _LF in raw or _CR in raw or not self._steady:
            return None
        try:
            chunk = self._validate(raw)
        except (ValidationError, RecursionError):
            return None
        choices = chunk.choices
        # The slot rather than the property `model_extra`.
        if (not choices or chunk.__pydantic_extra__) and not self._is_chunk(ServerSentEvent(raw), chunk):
            return None
        self._keep(raw)
        for choice in choices:
            if choice.finish_reason is not None:
                self._judge(choice.finish_reason)
        return chunk

    def feed(self, data: bytes) -> Iterator[ChatCompletionChunk]:
        """Take one read and give out the chunks it completes.

        Raises:
            StreamError: The stream reports an error.
            APIResponseValidationError: An event is no chunk.
            Overdue: It should have come before.
        """
        watch, validate, keep = self._watch, self._validate, self._keep
        watch.check()
        values = self._decoder.plain(data)
        events = self._decoder.feed(data) if values is None else []
        if values is None and not events:
            self._wait_on(data)
        elif self._idle_bytes:
            self._idle_bytes, watch.until = 0, watch.due
        self._steady = self._decoder.idle and not self._idle_bytes and watch.until is None
        pairs = zip(values, repeat("message")) if values is not None else [(each.raw, each.event) for each in events]
        for raw, kind in pairs:
            try:
                chunk = validate(raw)
            except (ValidationError, RecursionError) as error:
                text = raw.strip()
                if text == b"[DONE]":
                    self.done = self._ended = True
                    return
                if not text:  # some servers keep a connection alive with empty data
                    continue
                self._refuse(ServerSentEvent(raw, kind), error)
            choices = chunk.choices
            if (not choices or chunk.__pydantic_extra__) and not self._is_chunk(ServerSentEvent(raw, kind), chunk):
                continue
            keep(raw)
            if watch.first_token is not None and any(map(_says_something, choices)):
                watch.first_token = None
                watch.until = watch.due
            for choice in choices:
                if choice.finish_reason is not None:
                    self._judge(choice.finish_reason)
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
        if unfinished := self.answer.unfinished:
            choices = ", ".join(map(str, unfinished))
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
            described = connection_error(cause, self.response.request, self._watch)
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
        if len(self._head) < _HEAD_BYTES and self.answer.empty:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        watch, patience = self._watch, self._watch.timeouts["read"]
        if not self._idle_bytes and patience is not None:
            by = watch.clock.time() + patience
            watch.until = by if watch.due is None else min(by, watch.due)
        self._idle_bytes += len(data)
        if self._idle_bytes > MAX_BODY_BYTES:
            raise BodyError(f"a single event is larger than {MAX_BODY_BYTES:,} bytes")

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

    def _judge(self, reason: str) -> None:
        """Raise StreamError if a finish reason says that the provider failed."""
        if not is_error_reason(reason):
            return
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


def _says_something(choice: StreamChoice) -> bool:
    """Whether a choice of a chunk holds any of the answer: more than the role that begins it."""
    if choice.finish_reason is not None:
        return True
    return any(value for name, value in choice.delta if name != "role")


def _nothing_left(reader: ChunkReader) -> Iterator[Any]:
    reader.check_read_to_end()
    return iter(())


async def _anothing_left(reader: ChunkReader) -> AsyncGenerator[Any]:
    reader.check_read_to_end()
    return
    yield  # makes this a generator
