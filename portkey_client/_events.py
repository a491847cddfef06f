"""From chunks to events: what a chunk changes, and what it completes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from ._parse import FormatT, instance
from .events import (
    ChunkEvent,
    ContentDeltaEvent,
    ContentDoneEvent,
    Event,
    LogprobsContentDeltaEvent,
    LogprobsContentDoneEvent,
    LogprobsRefusalDeltaEvent,
    LogprobsRefusalDoneEvent,
    RefusalDeltaEvent,
    RefusalDoneEvent,
    ToolCallArgumentsDeltaEvent,
    ToolCallArgumentsDoneEvent,
)
from .types import ChatCompletionChunk, ChoiceLogprobs, DeltaToolCall, StreamChoice, TokenLogprob, json_or_none


class _ToolCall:
    """A tool call so far."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments = ""


class _Choice:
    """A choice so far."""

    def __init__(self) -> None:
        self.content = ""
        self.refusal = ""
        self.content_logprobs: list[TokenLogprob] = []
        self.refusal_logprobs: list[TokenLogprob] = []
        self.tool_calls: dict[int, _ToolCall] = {}
        self.open: int | None = None  # the tool call whose arguments are arriving


class EventReader(Generic[FormatT]):
    """Turns chunks into events.

    Args:
        kind: What complete texts are parsed as; None leaves them alone.
    """

    def __init__(self, kind: type[FormatT] | None) -> None:
        self._kind = kind
        self._choices: dict[int, _Choice] = {}

    def feed(self, chunk: ChatCompletionChunk) -> Iterator[Event[FormatT]]:
        """Take one chunk.

        Raises:
            ValidationError: A complete text is no instance of the class.
        """
        yield ChunkEvent(chunk)
        for choice in chunk.choices:
            yield from self._feed_choice(choice, self._choices.setdefault(choice.index, _Choice()))

    def _feed_choice(self, choice: StreamChoice, so_far: _Choice) -> Iterator[Event[FormatT]]:
        delta, index = choice.delta, choice.index
        if delta.content:
            so_far.content += delta.content
            yield ContentDeltaEvent(delta.content, so_far.content, index)
        if delta.refusal:
            so_far.refusal += delta.refusal
            yield RefusalDeltaEvent(delta.refusal, so_far.refusal, index)
        for piece in delta.tool_calls or ():
            yield from self._feed_tool_call(piece, so_far, index)
        if choice.logprobs is not None:
            yield from self._feed_logprobs(choice.logprobs, so_far, index)
        if choice.finish_reason is not None:
            yield from self._close_tool_call(so_far, index)
            if so_far.content:
                yield ContentDoneEvent(so_far.content, self._parsed(so_far), index)
            if so_far.refusal:
                yield RefusalDoneEvent(so_far.refusal, index)
            if so_far.content_logprobs:
                yield LogprobsContentDoneEvent(so_far.content_logprobs, index)
            if so_far.refusal_logprobs:
                yield LogprobsRefusalDoneEvent(so_far.refusal_logprobs, index)

    def _feed_tool_call(self, piece: DeltaToolCall, so_far: _Choice, choice: int) -> Iterator[Event[FormatT]]:
        index = piece.index
        if index is None:  # not numbered: a new id begins a new call
            last = len(so_far.tool_calls) - 1
            known = so_far.tool_calls.get(last)
            index = last if known is not None and piece.id in (None, "", known.id) else last + 1
        if index != so_far.open:
            yield from self._close_tool_call(so_far, choice)
            so_far.open = index
        call = so_far.tool_calls.setdefault(index, _ToolCall())
        call.id = piece.id or call.id
        if piece.function is not None:
            call.name = piece.function.name or call.name
            if delta := piece.function.arguments:
                call.arguments += delta
                yield ToolCallArgumentsDeltaEvent(index, call.id, call.name, call.arguments, delta, choice)

    def _feed_logprobs(self, logprobs: ChoiceLogprobs, so_far: _Choice, choice: int) -> Iterator[Event[FormatT]]:
        if logprobs.content:
            so_far.content_logprobs = [*so_far.content_logprobs, *logprobs.content]
            yield LogprobsContentDeltaEvent(logprobs.content, so_far.content_logprobs, choice)
        if logprobs.refusal:
            so_far.refusal_logprobs = [*so_far.refusal_logprobs, *logprobs.refusal]
            yield LogprobsRefusalDeltaEvent(logprobs.refusal, so_far.refusal_logprobs, choice)

    def _close_tool_call(self, so_far: _Choice, choice: int) -> Iterator[Event[FormatT]]:
        index, so_far.open = so_far.open, None
        if index is not None:
            call = so_far.tool_calls[index]
            parsed = json_or_none(call.arguments)
            yield ToolCallArgumentsDoneEvent(index, call.id, call.name, call.arguments, parsed, choice)

    def _parsed(self, so_far: _Choice) -> FormatT | None:
        if self._kind is None or so_far.refusal:
            return None
        return instance(so_far.content, self._kind)
