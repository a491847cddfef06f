"""What a test scripts: replies as values.

A reply says what a provider answers to one attempt, without saying how: the same value serves a streamed and a plain
request, and any provider. Replies are immutable, compare by value and print as they are written. What can be checked
when one is made is checked then; what depends on the request it answers is checked when it answers.

    "hello"                                   text
    tool_call("get_weather", city="Oslo")     a tool call; join several, and text, with +
    error("rate_limited", retry_after=20)     an error in the provider's own words
    status(503)                               a bare status
    fault("refused")                          a broken connection
    native({...}), native(events=[...])       the provider's own bytes
    {...}                                     a whole completion, in OpenAI's shape
    lambda attempt: ...                       any of these, made from the attempt
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from portkey_testing import faults

if TYPE_CHECKING:
    from portkey_testing.matching import AttemptView

Headers: TypeAlias = tuple[tuple[str, str], ...]
By: TypeAlias = str | int | tuple[str, ...]

CHUNKINGS: Final = ("word", "char", "whole")
"""The named ways of cutting a text into pieces; a number is a fixed size, a list the pieces themselves."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How an answer is cut into chunks and spread over time when it is streamed.

    Attributes:
        by: `word`, `char`, `whole`, a number of characters, or the pieces themselves.
        ttft: Seconds from the headers to the first piece.
        tps: Pieces per second after that; None is without a pause.
        jitter: Each pause varies by up to this share of itself, both ways.
    """

    by: By = "word"
    ttft: float = 0.0
    tps: float | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.by, str) and self.by not in CHUNKINGS:
            raise ValueError(f"streamed(by=...) takes one of {CHUNKINGS}, a size or a list of pieces, not {self.by!r}")
        if isinstance(self.by, int) and self.by < 1:
            raise ValueError(f"streamed(by=...): a size is at least 1, not {self.by}")
        if self.ttft < 0:
            raise ValueError(f"streamed(ttft=...) is a number of seconds from 0 on, not {self.ttft!r}")
        if self.tps is not None and self.tps <= 0:
            raise ValueError(f"streamed(tps=...) is a number of pieces per second above 0, not {self.tps!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"streamed(jitter=...) is a share from 0 to 1, not {self.jitter!r}")


@dataclass(frozen=True, slots=True)
class Break:
    """Where a streamed answer breaks off.

    Attributes:
        chunks: Content chunks that still arrive.
        fault: What happens then, see `portkey_testing.faults`.
    """

    chunks: int
    fault: str = "dropped"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a reply arrives, whatever it says.

    Attributes:
        delay: Seconds before the headers.
        headers: Added to the provider's own.
        pace: Chunks and their timing.
        broken: Where it breaks off, if it does.
        usage: Token counts given instead of counted.
        repeat: How many attempts it answers.
    """

    delay: float = 0.0
    headers: Headers = ()
    pace: Pace = field(default_factory=Pace)
    broken: Break | None = None
    usage: tuple[tuple[str, int], ...] | None = None
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a provider. Modifiers return a new reply."""

    delivery: Delivery = field(default_factory=Delivery)

    def delayed(self, seconds: float) -> Self:
        """The headers come `seconds` later, on the clock of the mount."""
        if seconds < 0:
            raise ValueError(f"delayed() takes a number of seconds from 0 on, not {seconds!r}")
        return self._with(delay=float(seconds))

    def streamed(
        self,
        *,
        by: str | int | Sequence[str] = "word",
        ttft: float = 0.0,
        tps: float | None = None,
        jitter: float = 0.0,
    ) -> Self:
        """Cut and pace the chunks of a streamed answer; a plain one is not affected. See `Pace`."""
        chunking = by if isinstance(by, str | int) else tuple(by)
        return self._with(pace=Pace(chunking, ttft, tps, jitter))

    def cut(self, *, chunks: int, fault: str = "dropped") -> Self:
        """The provider's connection breaks after that many content chunks; a plain answer breaks within its body."""
        if chunks < 0:
            raise ValueError(f"cut(chunks=...) is a number of content chunks from 0 on, not {chunks!r}")
        faults.wire_fault(fault)
        return self._with(broken=Break(chunks, fault))

    def with_usage(self, *, prompt_tokens: int, completion_tokens: int) -> Self:
        """Give the token counts instead of having them counted."""
        return self._with(usage=(("prompt_tokens", prompt_tokens), ("completion_tokens", completion_tokens)))

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Add response headers to the provider's own."""
        added = tuple((name.lower(), str(value)) for name, value in headers.items())
        return self._with(headers=self.delivery.headers + added)

    def times(self, count: int) -> Self:
        """Answer that many attempts with it."""
        if count < 1:
            raise ValueError(f"times() takes a number from 1 on, not {count!r}")
        return self._with(repeat=count)

    def _with(self, **changes: Any) -> Self:
        return replace(self, delivery=replace(self.delivery, **changes))

    def __str__(self) -> str:
        """The reply as a test would write it."""
        given = ", ".join(
            f"{spec.name}={value!r}"
            for spec in fields(self)
            if spec.name != "delivery" and (value := getattr(self, spec.name)) is not None
        )
        return f"{type(self).__name__}({given})"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the assistant's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declines, in words."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model calls.

    Attributes:
        name: Name of the function.
        arguments: The argument text as the model wrote it, usually JSON.
        call_id: Id of the call; made up from the seed if None.
    """

    name: str
    arguments: str
    call_id: str | None = None


Part: TypeAlias = Text | Refusal | ToolCall


@dataclass(frozen=True, slots=True)
class Answer(Reply):
    """What a model says: text, refusal and tool calls, in order. `+` joins two."""

    parts: tuple[Part, ...]
    finish_reason: str | None = None

    def __add__(self, other: Answer | str) -> Answer:
        """Both, one after the other; the delivery is that of the left one."""
        more = text(other) if isinstance(other, str) else other
        return replace(self, parts=self.parts + more.parts, finish_reason=self.finish_reason or more.finish_reason)

    def __str__(self) -> str:
        return " + ".join(_written(part) for part in self.parts)

    @property
    def text(self) -> str:
        """All text, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True)
class Completion(Reply):
    """A whole chat completion in OpenAI's shape, given as JSON text so that it stays a value."""

    body: str

    def __str__(self) -> str:
        return self.body


@dataclass(frozen=True, slots=True)
class ErrorReply(Reply):
    """An error of the catalogue, in the words of whichever provider is asked.

    Attributes:
        name: Name in the catalogue.
        retry_after: Seconds for the Retry-After header and the message; None is the catalogue's own.
        message: Text instead of the provider's.
    """

    name: str
    retry_after: float | None = None
    message: str | None = None

    def __str__(self) -> str:
        extra = "" if self.retry_after is None else f", retry_after={self.retry_after:g}"
        return f"error({self.name!r}{extra})"


@dataclass(frozen=True, slots=True)
class Native(Reply):
    """The provider's own answer.

    Attributes:
        status: HTTP status.
        content_type: None sends none.
        body: The body, for a plain answer.
        events: The events as they are written, each with its separator, for a streamed one.
    """

    status: int = 200
    content_type: str | None = "application/json"
    body: str | None = None
    events: tuple[str, ...] | None = None
    gap: float = 0.0

    def __str__(self) -> str:
        return f"status({self.status})" if self.body == "" else f"native(status={self.status})"


@dataclass(frozen=True, slots=True)
class FaultReply(Reply):
    """The connection breaks, see `portkey_testing.faults`."""

    name: str

    def __str__(self) -> str:
        return f"fault({self.name!r})"


@dataclass(frozen=True, slots=True)
class Computed(Reply):
    """A function that makes the reply from the attempt."""

    function: Callable[[AttemptView], object]

    def __str__(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))


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
    if raw is not None:
        if arguments is not None or keywords:
            raise TypeError(f"tool_call({name!r}): give either arguments or raw, not both")
        written = raw
    else:
        given = {**(arguments or {}), **keywords}
        written = _json(given, f"tool_call({name!r})")
    return Answer(parts=(ToolCall(name, written, call_id),))


def completion(body: Mapping[str, Any]) -> Completion:
    """A whole chat completion, in OpenAI's shape.

    Raises:
        TypeError: it holds something JSON cannot carry.
        ValueError: it is not a completion the client's own model accepts.
    """
    from pydantic import ValidationError

    from portkey_client.types import ChatCompletions

    written = _json(dict(body), "completion()")
    try:
        ChatCompletions.model_validate_json(written)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in error.errors())
        raise ValueError(f"a dict as reply is a whole chat completion; this one is none: {problems}") from error
    return Completion(body=written)


def error(name: str, *, retry_after: float | None = None, message: str | None = None) -> ErrorReply:
    """An error of the catalogue, in the provider's own status, headers and words.

    Raises:
        ValueError: the catalogue has no error of that name.
    """
    known = sorted({known for catalogue in error_catalogue().values() for known in catalogue})
    if name not in known:
        import difflib

        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no provider error is called {name!r}.{hint} There are: {', '.join(known)}.")
    if retry_after is not None and retry_after < 0:
        raise ValueError(f"error(retry_after=...) is a number of seconds from 0 on, not {retry_after!r}")
    return ErrorReply(name=name, retry_after=retry_after, message=message)


def status(code: int, body: str | Mapping[str, Any] = "", *, content_type: str | None = None) -> Native:
    """A bare status, with `body` as JSON where it is a mapping and as text otherwise."""
    if not _is_status(code):
        raise ValueError(f"status() takes an HTTP status, not {code!r}")
    if isinstance(body, str):
        return Native(status=code, content_type=content_type or ("text/plain" if body else None), body=body)
    return Native(status=code, content_type=content_type or "application/json", body=_json(body, "status()"))


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
    if events is not None:
        if body is not None:
            raise TypeError("native(): give either a body or events, not both")
        written = tuple(event if isinstance(event, str) else _event(event) for event in events)
        return Native(status=status, content_type=content_type or "text/event-stream", events=written, gap=gap)
    encoded = body if isinstance(body, str) else _json(body, "native()")
    return Native(status=status, content_type=content_type or "application/json", body=encoded)


def fault(name: str) -> FaultReply:
    """A broken connection, see `portkey_testing.faults`.

    Raises:
        ValueError: there is no fault of that name.
    """
    return FaultReply(name=faults.wire_fault(name).name)


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
            parts = [as_reply(item) for item in value]
            if all(isinstance(part, Answer) for part in parts):
                return Answer(parts=tuple(p for part in parts if isinstance(part, Answer) for p in part.parts))
        case _ if callable(value):
            return Computed(function=value)
    if hasattr(value, "model_dump") and hasattr(value, "choices"):
        return completion(value.model_dump(mode="json", exclude_unset=True))
    raise TypeError(
        f"a reply is a string, a reply of portkey_testing.replies, a completion as a dict, a status as an "
        f"int, a list of "
        f"texts and tool calls, or a function of the attempt; not {_kind(value)}: {value!r:.100}"
    )


@cache
def error_catalogue() -> Mapping[str, Mapping[str, Any]]:
    """The provider errors by provider and name."""
    path = Path(__file__).parent / "_data" / "provider_errors.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    return MappingProxyType({provider: entries for provider, entries in data.items() if provider != "about"})


def _event(event: Mapping[str, Any]) -> str:
    data = event.get("data", "")
    written = data if isinstance(data, str) else json.dumps(data)
    name = f"event: {event['event']}\n" if "event" in event else ""
    return f"{name}data: {written}\n\n"


def _json(value: object, where: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as cause:
        raise TypeError(f"{where}: this cannot become JSON ({cause}): {value!r:.200}") from cause


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 999


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _written(part: Part) -> str:
    match part:
        case ToolCall(name, arguments):
            return f"tool_call({name!r}, {arguments})"
        case Text(content):
            return f"text({content!r})"
        case Refusal(content):
            return f"refusal({content!r})"
