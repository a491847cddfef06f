"""The events of a streamed answer as programs hold them: a sync and an async shell around `EventReader`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, NoReturn, Self

from pydantic import ValidationError

from ._events import EventReader
from ._parse import FormatT, check_whole, parse_contents
from ._streams import AsyncStream, Stream
from .errors import APIResponseValidationError, PortkeyError, excerpt
from .events import Event
from .types import ChatCompletionChunk, ChatCompletions, ParsedChatCompletion, set_headers


class _EventStreamBase(Generic[FormatT]):
    def __init__(self, kind: type[FormatT] | None) -> None:
        self._kind = kind

    def _check(self, chunk: ChatCompletionChunk, stream: Stream[Any] | AsyncStream[Any]) -> None:
        """Raise LengthFinishReasonError or ContentFilterFinishReasonError if a text to be parsed was cut short."""
        kind = self._kind
        if kind is None:
            return
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                answer = stream.partial
                messages = [each.message for each in answer.choices if each.index == choice.index]
                refused = any(message.refusal is not None for message in messages)
                check_whole(choice.normalized_finish_reason, kind, answer, refused=refused)

    def _misfit(self, stream: Stream[Any] | AsyncStream[Any], error: ValidationError) -> NoReturn:
        """A text that is no instance of the class; the answer itself is whole."""
        partial = stream.partial
        name = self._kind.__name__ if self._kind is not None else "answer"
        issue = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, issue["loc"])) or "the text"
        text = "; ".join(excerpt(choice.message.content or "") for choice in partial.choices)
        failure = APIResponseValidationError(
            stream.response,
            message=f"Error code: {stream.response.status_code} - the answer is no {name}: "
            f"{where}: {issue['msg']}; got {text}",
        )
        failure.keep_partial(partial)
        raise failure from error

    def _final(self, stream: Stream[Any] | AsyncStream[Any]) -> ParsedChatCompletion[FormatT]:
        partial: ChatCompletions = stream.partial
        answer: ParsedChatCompletion[FormatT] = ParsedChatCompletion.model_validate(partial.to_dict())
        set_headers(answer, stream.response.headers)
        if self._kind is not None:
            try:
                parse_contents(answer, self._kind)
            except ValidationError as error:
                self._misfit(stream, error)
        return answer


class EventStream(_EventStreamBase[FormatT]):
    """The events of a streamed answer: `with client.chat.completions.stream(...) as stream: for event in stream: ...`.

    The request is sent when `with` begins, and what is left of the stream is hung up on when it ends.

    Raises:
        APIError: While iterating, as `Stream` does; also where a text is no instance of the `response_format` class.
        LengthFinishReasonError: While iterating: a token limit cut a text that was to be parsed.
        ContentFilterFinishReasonError: While iterating: a content filter withheld one.
    """

    def __init__(self, open: Callable[[], Stream[ChatCompletionChunk]], kind: type[FormatT] | None) -> None:
        super().__init__(kind)
        self._open = open
        self._stream: Stream[ChatCompletionChunk] | None = None
        self._events: Generator[Event[FormatT]] | None = None

    @property
    def stream(self) -> Stream[ChatCompletionChunk]:
        """The chunks behind the events, with their `gateway`, `partial` and `hook_results`."""
        if self._stream is None:
            raise PortkeyError("this stream is opened by `with`: `with client.chat.completions.stream(...) as stream:`")
        return self._stream

    def __enter__(self) -> Self:
        self._stream = self._open()
        self._events = self._read(self._stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event[FormatT]]:
        _ = self.stream  # which says how to open it
        return iter(self._events or ())

    def __next__(self) -> Event[FormatT]:
        return next(iter(self))

    def close(self) -> None:
        """Hang up; harmless if repeated."""
        if self._events is not None:
            self._events.close()
        self.stream.close()

    @property
    def current_completion_snapshot(self) -> ChatCompletions:
        """The answer as far as it has been read; openai's name for `stream.partial`."""
        return self.stream.partial

    def until_done(self) -> Self:
        """Read to the end."""
        for _ in self:
            pass
        return self

    def get_final_completion(self) -> ParsedChatCompletion[FormatT]:
        """Read to the end and return the whole answer, its texts parsed."""
        self.until_done()
        return self._final(self.stream)

    def _read(self, stream: Stream[ChatCompletionChunk]) -> Generator[Event[FormatT]]:
        reader = EventReader(self._kind)
        for chunk in stream:
            self._check(chunk, stream)
            try:
                yield from reader.feed(chunk)
            except ValidationError as error:
                self._misfit(stream, error)


class AsyncEventStream(_EventStreamBase[FormatT]):
    """The events of a streamed answer: `async with client.chat.completions.stream(...) as stream: async for event ...`.

    As `EventStream`.
    """

    def __init__(
        self, open: Callable[[], Awaitable[AsyncStream[ChatCompletionChunk]]], kind: type[FormatT] | None
    ) -> None:
        super().__init__(kind)
        self._open = open
        self._stream: AsyncStream[ChatCompletionChunk] | None = None
        self._events: AsyncGenerator[Event[FormatT]] | None = None

    @property
    def stream(self) -> AsyncStream[ChatCompletionChunk]:
        """The chunks behind the events, with their `gateway`, `partial` and `hook_results`."""
        if self._stream is None:
            raise PortkeyError(
                "this stream is opened by `async with`: `async with client.chat.completions.stream(...) as stream:`"
            )
        return self._stream

    async def __aenter__(self) -> Self:
        self._stream = await self._open()
        self._events = self._read(self._stream)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Event[FormatT]]:
        _ = self.stream
        assert self._events is not None  # noqa: S101  # set together with the stream
        return self._events

    async def __anext__(self) -> Event[FormatT]:
        return await anext(aiter(self))

    async def close(self) -> None:
        """Hang up; harmless if repeated."""
        if self._events is not None:
            await self._events.aclose()
        await self.stream.close()

    @property
    def current_completion_snapshot(self) -> ChatCompletions:
        """The answer as far as it has been read; openai's name for `stream.partial`."""
        return self.stream.partial

    async def until_done(self) -> Self:
        """Read to the end."""
        async for _ in self:
            pass
        return self

    async def get_final_completion(self) -> ParsedChatCompletion[FormatT]:
        """Read to the end and return the whole answer, its texts parsed."""
        await self.until_done()
        return self._final(self.stream)

    async def _read(self, stream: AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[Event[FormatT]]:
        reader = EventReader(self._kind)
        async with aclosing(stream):
            async for chunk in stream:
                self._check(chunk, stream)
                try:
                    for event in reader.feed(chunk):
                        yield event
                except ValidationError as error:
                    self._misfit(stream, error)
