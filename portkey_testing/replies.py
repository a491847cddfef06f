"""What a test scripts: replies as values.

A reply says what a provider answers to one attempt, without saying how: the same value serves a streamed and a plain
request, and any provider. Replies are immutable, compare by value and print as they are written. What can be checked
when one is made is checked then; what depends on the request it answers is checked when it answers.

    "hello"                                   text
    tool_call("get_weather", city="Oslo")     a tool call; join several, and text, with +
    refusal(...), reasoning(...), audio(...)  what else a model says
    parsed({...})                             structured output, from a dict, a pydantic object or a dataclass
    choices("one", "two")                     the answers to a request with n=2
    recorded("cassettes/x.yaml", 2)           an answer that was once real
    error("rate_limited", retry_after=20)     an error in the provider's own words
    status(503)                               a bare status
    fault("refused")                          a broken connection, or a damaged answer
    native({...}), native(events=[...])       the provider's own bytes
    {...}, chunks({...}, {...})               a whole completion or its chunks, in OpenAI's shape
    lambda attempt: ...                       any of these, made from the attempt
"""

from __future__ import annotations

import base64
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from functools import cache, reduce
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from portkey_testing import faults
from portkey_testing._data import table
from portkey_testing._delivery import CHUNKINGS, Break, By, Delivery, Headers, Pace
from portkey_testing._reply import (
    Answer,
    Audio,
    Chunks,
    Completion,
    Computed,
    ErrorReply,
    FaultReply,
    Native,
    Part,
    Reasoning,
    Recorded,
    Refusal,
    Reply,
    Text,
    ToolCall,
    as_json,
    is_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel, ValidationError

    from portkey_testing._attempt import AttemptView

__all__ = [
    "CHUNKINGS",
    "STOCK",
    "Answer",
    "Audio",
    "Break",
    "By",
    "Chunks",
    "Completion",
    "Computed",
    "Delivery",
    "ErrorReply",
    "FaultReply",
    "Headers",
    "Native",
    "Pace",
    "Part",
    "Reasoning",
    "Recorded",
    "Refusal",
    "Reply",
    "ReplyLike",
    "Text",
    "ToolCall",
    "as_reply",
    "audio",
    "choices",
    "chunks",
    "completion",
    "error",
    "error_catalogue",
    "fault",
    "native",
    "parsed",
    "reasoning",
    "recorded",
    "refusal",
    "status",
    "text",
    "tool_call",
]

ReplyLike: TypeAlias = (
    "Reply | str | int | Mapping[str, Any] | BaseModel | Sequence[str | Answer] | Callable[[AttemptView], object]"
)
"""What a test may pass as a reply: one, a text, a status, a completion (as a dict, or as an SDK's model), texts and
tool calls that make up one answer, or a function of the attempt that gives any of these."""

STOCK: Final = "This is an answer that something happens to on its way."
"""What is said where a fault needs an answer to strike."""


def text(content: str) -> Answer:
    """The assistant says `content`."""
    if not isinstance(content, str):
        raise TypeError(f"text() takes a string, not {_kind(content)}")
    return Answer(parts=(Text(content),))


def refusal(content: str) -> Answer:
    """The model declines, saying `content`."""
    if not isinstance(content, str):
        raise TypeError(f"refusal() takes a string, not {_kind(content)}")
    return Answer(parts=(Refusal(content),))


def reasoning(content: str) -> Answer:
    """The model thinks `content`; join what it says then with `+`."""
    if not isinstance(content, str):
        raise TypeError(f"reasoning() takes a string, not {_kind(content)}")
    return Answer(parts=(Reasoning(content),))


def audio(transcript: str, data: bytes = b"") -> Answer:
    """The model speaks: `transcript` is what it says, `data` the sound."""
    if not isinstance(transcript, str):
        raise TypeError(f"audio() takes the transcript first, not {_kind(transcript)}")
    if not isinstance(data, bytes):
        raise TypeError(f"audio() takes the sound as bytes, not {_kind(data)}")
    return Answer(parts=(Audio(transcript, base64.b64encode(data).decode()),))


def parsed(value: object) -> Answer:
    """Structured output: a dict, a list, a pydantic object or a dataclass, as the JSON text a model writes.

    Raises:
        TypeError: it cannot become JSON.
    """
    dump = getattr(value, "model_dump_json", None)
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return Answer(parts=(Text(dump() if dump is not None else as_json(plain, "parsed()")),), structured=True)


def choices(*answers: object) -> Answer:
    """The choices of a request with n > 1, in order; the delivery is that of the first.

    Raises:
        TypeError: something is nothing a model says.
    """
    made = [as_reply(answer) for answer in answers]
    wrong = next((answer for answer in made if not isinstance(answer, Answer)), None)
    if not made:
        raise TypeError("choices() takes at least one text or other thing that a model says")
    if wrong is not None:
        raise TypeError(f"choices() takes what a model says: texts, tool calls and the like, not {wrong}")
    first, *others = [answer for answer in made if isinstance(answer, Answer)]
    return replace(first, others=tuple(others))


def tool_call(
    name: str,
    arguments: Mapping[str, Any] | None = None,
    /,
    *,
    call_id: str | None = None,
    raw: str | None = None,
    **keywords: Any,
) -> Answer:
    """The model calls a tool.

    Args:
        name: Name of the function.
        arguments: Its arguments; keywords are added to them.
        call_id: Id of the call; made up if not given.
        raw: The argument text exactly as the model wrote it, valid JSON or not, in place of `arguments`.
        **keywords: Single arguments, for those whose names are not taken here.

    Raises:
        TypeError: `arguments` is not a mapping, holds something JSON cannot carry, or stands beside `raw`.
    """
    if not _is_name(name):
        raise TypeError(f"tool_call() takes the name of a function first, not {name!r}")
    if arguments is not None and not isinstance(arguments, Mapping):
        raise TypeError(
            f"tool_call({name!r}): arguments is a mapping, not {_kind(arguments)}. "
            "For an argument text as it stands, write raw=..."
        )
    if call_id is not None and not isinstance(call_id, str):
        raise TypeError(f"tool_call({name!r}): call_id is a string, not {_kind(call_id)}")
    if raw is not None:
        if not isinstance(raw, str):
            raise TypeError(f"tool_call({name!r}): raw is the argument text as a string, not {_kind(raw)}")
        if arguments is not None or keywords:
            raise TypeError(f"tool_call({name!r}): give either arguments or raw, not both")
        written = raw
    else:
        given = {**(arguments or {}), **keywords}
        written = as_json(given, f"tool_call({name!r})")
    return Answer(parts=(ToolCall(name, written, call_id),))


def completion(body: Mapping[str, Any]) -> Completion:
    """A whole chat completion, in OpenAI's shape.

    Raises:
        TypeError: it holds something JSON cannot carry.
        ValueError: it is not a completion the client's own model accepts.
    """
    from pydantic import ValidationError

    from portkey_client.types import ChatCompletions

    if not isinstance(body, Mapping):
        raise TypeError(f"completion() takes a whole chat completion as a dict, not {_kind(body)}")
    written = as_json(dict(body), "completion()")
    try:
        ChatCompletions.model_validate_json(written)
    except ValidationError as error:
        words = f"a dict as reply is a whole chat completion; this one is none: {_problems(error)}"
        raise ValueError(words) from error
    return Completion(body=written)


def chunks(*items: Mapping[str, Any], done: bool = True) -> Chunks:
    """Chunks of a streamed completion, in OpenAI's shape; to a request for a plain answer, what they amount to.

    Raises:
        TypeError: one holds something JSON cannot carry.
        ValueError: one is not a chunk the client's own model accepts, or there is none.
    """
    from pydantic import ValidationError

    from portkey_client.types import ChatCompletionChunk

    if not items:
        raise ValueError("chunks() takes at least one chunk")
    for given in items:
        if not isinstance(given, Mapping):
            raise TypeError(f"chunks() takes each chunk as a dict, not {_kind(given)}")
    written = tuple(as_json(dict(item), f"chunks(): number {number}") for number, item in enumerate(items, 1))
    for number, item in enumerate(written, 1):
        try:
            ChatCompletionChunk.model_validate_json(item)
        except ValidationError as error:
            raise ValueError(f"chunks(): number {number} is no chunk: {_problems(error)}") from error
    return Chunks(items=written, done=done)


def recorded(cassette: str | Path, number: int = 1) -> Recorded:
    """The answer of interaction `number`, from 1, of a cassette: status, headers and body or events, as they came.

    It was the gateway's answer, so it is taken as it is: on either leg nothing is translated.

    Raises:
        CassetteError: the file is no cassette, or is damaged.
        LookupError: it has no such interaction, or that one failed without an answer.
    """
    from portkey_testing._recorded_answers import recorded_answer

    recorded_answer(str(cassette), number)
    return Recorded(cassette=str(cassette), number=number)


def error(name: str, *, retry_after: float | None = None, message: str | None = None) -> ErrorReply:
    """An error of the catalogue, in the provider's own status, headers and words.

    Raises:
        ValueError: the catalogue has no error of that name.
    """
    known = {known for catalogue in error_catalogue().values() for known in catalogue}
    if name not in known:
        if isinstance(name, int):
            raise TypeError(f"error() takes the name of an error; a bare status is status({name})")
        raise faults.unknown("provider error", name, sorted(known))
    if retry_after is not None and (not is_number(retry_after) or not retry_after >= 0):
        raise ValueError(f"error(retry_after=...) is a number of seconds from 0 on, not {retry_after!r}")
    return ErrorReply(name=name, retry_after=retry_after, message=message)


def status(code: int, body: str | Mapping[str, Any] | None = None, *, content_type: str | None = None) -> Native:
    """A status, with `body` as JSON where it is a mapping and as text otherwise.

    Without a body, a provider gives its own kind of error with it, as providers do: the gateway makes a 500 of an error
    it cannot read.

    Raises:
        ValueError: it is no HTTP status, or one of success without a body.
    """
    if not _is_status(code):
        raise ValueError(f"status() takes an HTTP status, not {code!r}")
    if body is None:
        if code < 300:
            raise ValueError(f"status({code}) needs a body, being no error; what a model says is scripted as a text")
        return Native(status=code, content_type=content_type)
    if isinstance(body, str):
        return Native(status=code, content_type=content_type or ("text/plain" if body else None), body=body)
    return Native(status=code, content_type=content_type or "application/json", body=as_json(body, "status()"))


def native(
    body: object = None,
    *,
    status: int = 200,
    content_type: str | None = None,
    events: Sequence[str | Mapping[str, Any]] | None = None,
    gap: float = 0.0,
) -> Native:
    """The provider's own answer: a body (JSON, or text as it stands), or the events of a stream.

    An event is a string, sent as it is with its separators, or a mapping `{"event": name, "data": JSON or text}`.

    Args:
        body: A string is sent as it is, anything else as JSON.
        status: HTTP status.
        content_type: Default `application/json`, for events `text/event-stream`.
        events: The events of a stream, in place of a body.
        gap: Seconds between events.
    """
    if not _is_status(status):
        raise ValueError(f"native(status=...) is an HTTP status, not {status!r}")
    if events is not None:
        if isinstance(events, str):
            raise TypeError(f"native(events=...) takes a list of events, not {_kind(events)}")
        if body is not None:
            raise TypeError("native(): give either a body or events, not both")
        written = tuple(event if isinstance(event, str) else _event(event) for event in events)
        return Native(status=status, content_type=content_type or "text/event-stream", events=written, gap=gap)
    encoded = body if isinstance(body, str) else as_json(body, "native()")
    return Native(status=status, content_type=content_type or "application/json", body=encoded)


def fault(name: str) -> Reply:
    """A broken connection, or a stock answer that arrives damaged, see `portkey_testing.faults`.

    Raises:
        ValueError: there is no fault of that name.
    """
    if not isinstance(name, str):
        raise TypeError(f"fault() takes a name, not {_kind(name)}")
    if name in faults.DAMAGES:
        return text(STOCK).damaged(name)
    if name not in faults.CATALOGUE:
        if names := [fault.name for fault in faults.CATALOGUE.values() if fault.raises == name]:
            raise ValueError(f"{name} is what httpx makes of the faults {', '.join(names)}: choose one of these")
        raise faults.unknown("fault", name, [*faults.CATALOGUE, *faults.DAMAGES])
    return FaultReply(name=name)


def as_reply(value: object) -> Reply:
    """What a test may pass as a reply, as a reply.

    Raises:
        TypeError: it is nothing that can answer.
    """
    match value:
        case Reply():
            return value
        case str():
            return text(value)
        case bool():
            pass
        case int():
            return status(value)
        case Mapping():
            return completion(value)
        case list() | tuple() if value:
            replies = [as_reply(item) for item in value]
            answers = [reply for reply in replies if isinstance(reply, Answer)]
            if len(answers) == len(replies):
                return reduce(operator.add, answers)
        case _ if callable(value):
            return Computed(function=value)
    dump = getattr(value, "model_dump", None)
    if dump is not None and hasattr(value, "choices"):
        return completion(dump(mode="json", exclude_unset=True))
    if isinstance(value, BaseException):
        raise TypeError(
            "what breaks between the gateway and a provider is a fault, such as fault('stall_before_headers'); what an "
            f"HTTP library raises in the application is for fake.gateway.reply(...), as is {value!r:.100}"
        )
    raise TypeError(
        "a reply is a string, a reply of portkey_testing.replies, a completion as a dict, a status as an int, a list "
        f"of texts and tool calls, or a function of the attempt; not {_kind(value)}: {value!r:.100}"
    )


@cache
def error_catalogue() -> Mapping[str, Mapping[str, Any]]:
    """The provider errors by provider and name."""
    return MappingProxyType(table("provider_errors"))


def _event(event: Mapping[str, Any]) -> str:
    data = event.get("data", "")
    written = data if isinstance(data, str) else json.dumps(data)
    name = f"event: {event['event']}\n" if "event" in event else ""
    return f"{name}data: {written}\n\n"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 999


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in error.errors())
