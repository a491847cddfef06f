"""The bytes of a streamed answer as chunks: one incremental machine, for sync and async alike. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Final, NoReturn

import httpx
from pydantic import ValidationError

from ._accumulate import Accumulator
from ._body import BodyError
from ._exchange import MAX_BODY_BYTES, connection_error, decode_body
from ._finish import is_error_reason
from ._gateway import GatewayInfo
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
from .types import ChatCompletionChunk, ChatCompletions, StreamChoice, set_headers

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
        for value, kind in pairs:
            raw = value
            try:
                chunk = validate(raw)
            except (ValidationError, RecursionError) as error:
                text = raw.strip()
                if text == b"[DONE]":
                    self.done = self._ended = True
                    return
                if not text:  # some servers keep a connection alive with empty data
                    continue
                raw = _without_nulls(raw)
                try:
                    chunk = validate(raw)
                except (ValidationError, RecursionError):
                    self._refuse(ServerSentEvent(value, kind), error)
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


def _says_something(choice: StreamChoice) -> bool:
    """Whether a choice of a chunk holds any of the answer: more than the role that begins it."""
    if choice.finish_reason is not None:
        return True
    return any(value for name, value in choice.delta if name != "role")


def _without_nulls(raw: bytes) -> bytes:
    """A chunk less what is null where it may be left out but not be null: servers written in Go say null for empty."""
    chunk = decode_body(raw)
    if not isinstance(chunk, dict):
        return raw
    choices = chunk.get("choices")
    if choices is None:
        chunk.pop("choices", None)
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            for name in ("index", "delta"):
                if name in choice and choice[name] is None:
                    del choice[name]
    return json.dumps(chunk).encode()
