"""What `chat.completions.stream()` yields: what changed, what it amounts to so far, and what is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic_core import from_json

from .types import ChatCompletionChunk, TokenLogprob

__all__ = [
    "ChunkEvent",
    "ContentDeltaEvent",
    "ContentDoneEvent",
    "Event",
    "LogprobsContentDeltaEvent",
    "LogprobsContentDoneEvent",
    "LogprobsRefusalDeltaEvent",
    "LogprobsRefusalDoneEvent",
    "RefusalDeltaEvent",
    "RefusalDoneEvent",
    "ToolCallArgumentsDeltaEvent",
    "ToolCallArgumentsDoneEvent",
]

ParsedT = TypeVar("ParsedT")


@dataclass(frozen=True, slots=True)
class ChunkEvent:
    """A chunk as it came; the events that follow say what it means."""

    chunk: ChatCompletionChunk
    type: Literal["chunk"] = "chunk"


@dataclass(frozen=True, slots=True)
class ContentDeltaEvent:
    """More text.

    Attributes:
        delta: What came.
        snapshot: The text so far.
        choice: Index of the choice.
    """

    delta: str
    snapshot: str
    choice: int = 0
    type: Literal["content.delta"] = "content.delta"

    @property
    def parsed(self) -> Any:
        """What the text so far is as JSON, without values that are still being written; None where it is none."""
        return _json_so_far(self.snapshot)


@dataclass(frozen=True, slots=True)
class ContentDoneEvent(Generic[ParsedT]):
    """A text is complete.

    Attributes:
        content: The text.
        parsed: What it stands for, where a `response_format` class was given.
        choice: Index of the choice.
    """

    content: str
    parsed: ParsedT | None = None
    choice: int = 0
    type: Literal["content.done"] = "content.done"


@dataclass(frozen=True, slots=True)
class RefusalDeltaEvent:
    """More of a refusal.

    Attributes:
        delta: What came.
        snapshot: The refusal so far.
        choice: Index of the choice.
    """

    delta: str
    snapshot: str
    choice: int = 0
    type: Literal["refusal.delta"] = "refusal.delta"


@dataclass(frozen=True, slots=True)
class RefusalDoneEvent:
    """A refusal is complete.

    Attributes:
        refusal: Its text.
        choice: Index of the choice.
    """

    refusal: str
    choice: int = 0
    type: Literal["refusal.done"] = "refusal.done"


@dataclass(frozen=True, slots=True)
class ToolCallArgumentsDeltaEvent:
    """More of a tool call's arguments.

    Attributes:
        index: Which of the choice's tool calls.
        id: Its id.
        name: The tool's name.
        arguments: Their text so far.
        arguments_delta: What came.
        choice: Index of the choice.
    """

    index: int
    id: str | None
    name: str
    arguments: str
    arguments_delta: str
    choice: int = 0
    type: Literal["tool_calls.function.arguments.delta"] = "tool_calls.function.arguments.delta"

    @property
    def parsed_arguments(self) -> Any:
        """What the text so far is as JSON, without values that are still being written; None where it is none."""
        return _json_so_far(self.arguments)


@dataclass(frozen=True, slots=True)
class ToolCallArgumentsDoneEvent:
    """A tool call is complete.

    Attributes:
        index: Which of the choice's tool calls.
        id: Its id.
        name: The tool's name.
        arguments: Their text, as the model wrote it.
        parsed_arguments: What the text is as JSON; None where it is none, which models do write.
        choice: Index of the choice.
    """

    index: int
    id: str | None
    name: str
    arguments: str
    parsed_arguments: Any
    choice: int = 0
    type: Literal["tool_calls.function.arguments.done"] = "tool_calls.function.arguments.done"


@dataclass(frozen=True, slots=True)
class LogprobsContentDeltaEvent:
    """Log probabilities of more of the text's tokens.

    Attributes:
        content: Of the tokens that came.
        snapshot: Of all tokens so far.
        choice: Index of the choice.
    """

    content: list[TokenLogprob]
    snapshot: list[TokenLogprob]
    choice: int = 0
    type: Literal["logprobs.content.delta"] = "logprobs.content.delta"


@dataclass(frozen=True, slots=True)
class LogprobsContentDoneEvent:
    """A text is complete, with the log probabilities of all its tokens in `content`."""

    content: list[TokenLogprob]
    choice: int = 0
    type: Literal["logprobs.content.done"] = "logprobs.content.done"


@dataclass(frozen=True, slots=True)
class LogprobsRefusalDeltaEvent:
    """Log probabilities of more of a refusal's tokens.

    Attributes:
        refusal: Of the tokens that came.
        snapshot: Of all tokens so far.
        choice: Index of the choice.
    """

    refusal: list[TokenLogprob]
    snapshot: list[TokenLogprob]
    choice: int = 0
    type: Literal["logprobs.refusal.delta"] = "logprobs.refusal.delta"


@dataclass(frozen=True, slots=True)
class LogprobsRefusalDoneEvent:
    """A refusal is complete, with the log probabilities of all its tokens in `refusal`."""

    refusal: list[TokenLogprob]
    choice: int = 0
    type: Literal["logprobs.refusal.done"] = "logprobs.refusal.done"


Event: TypeAlias = (
    ChunkEvent
    | ContentDeltaEvent
    | ContentDoneEvent[ParsedT]
    | RefusalDeltaEvent
    | RefusalDoneEvent
    | ToolCallArgumentsDeltaEvent
    | ToolCallArgumentsDoneEvent
    | LogprobsContentDeltaEvent
    | LogprobsContentDoneEvent
    | LogprobsRefusalDeltaEvent
    | LogprobsRefusalDoneEvent
)


def _json_so_far(text: str) -> Any:
    try:
        return from_json(text, allow_partial=True)
    except ValueError:
        return None
