"""What a test scripts: replies as values.

A reply says what a provider answers to one attempt, without saying how: the same value serves a streamed and a plain
request, and any provider. Replies are immutable, compare by value and print as they are written. What can be checked
when one is made is checked then; what depends on the request it answers is checked when it answers.

    "hello"                                   text
    tool_call("get_weather", city="Oslo")     a tool call; join several, and text, with +
    refusal(...), reasoning(...), audio(...)  what else a model says
    parsed({...})                             structured output, from a dict or a pydantic object
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from portkey_testing import faults

if TYPE_CHECKING:
    from pydantic import ValidationError

    from portkey_testing.matching import AttemptView

Headers: TypeAlias = tuple[tuple[str, str], ...]
By: TypeAlias = str | int | tuple[str, ...]

STOCK: Final = "This is an answer that something happens to on its way."
"""What is said where a fault needs an answer to strike."""

CHUNKINGS: Final = ("word", "char", "token", "whole", "random")
"""The named ways of cutting a text into pieces; a number is a fixed size, a list the pieces themselves."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How an answer is cut into chunks and spread over time when it is streamed.

    Attributes:
        by: `word`, `char`, `token` (pieces of up to four characters, as tokenizers make them), `whole` (one chunk),
            `random` (1 to 12 characters, from the seed), a number of characters, or the pieces themselves.
        ttft: Seconds from the headers to the first piece.
        tps: Pieces per second after that; None is without a pause.
        jitter: Each pause varies by up to this share of itself, both ways.
        reads: Bytes per read, wherever that cuts: within an event, a line or a character; `random` is 1 to 64 of them,
            from the seed. None is one event per read.
        comments: A comment stands before every event.
        keepalive: Seconds of silence after which a comment comes, and again.
    """

    by: By = "word"
    ttft: float = 0.0
    tps: float | None = None
    jitter: float = 0.0
    reads: int | Literal["random"] | None = None
    comments: bool = False
    keepalive: float | None = None

    @property
    def travels(self) -> bool:
        """Its bytes arrive otherwise than one event after the other."""
        return self.reads is not None or self.comments or self.keepalive is not None

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
        if self.reads not in (None, "random") and not (isinstance(self.reads, int) and self.reads >= 1):
            raise ValueError(f"streamed(reads=...) is a number of bytes from 1 on, or 'random', not {self.reads!r}")
        if self.keepalive is not None and self.keepalive <= 0:
            raise ValueError(f"streamed(keepalive=...) is a number of seconds above 0, not {self.keepalive!r}")


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
        damage: What is wrong with its content, see `portkey_testing.faults`.
        usage: Token counts given instead of counted, as JSON.
        repeat: How many attempts it answers.
    """

    delay: float = 0.0
    headers: Headers = ()
    pace: Pace = field(default_factory=Pace)
    broken: Break | None = None
    damage: str | None = None
    usage: str | None = None
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
        reads: int | Literal["random"] | None = None,
        comments: bool = False,
        keepalive: float | None = None,
    ) -> Self:
        """Cut and pace the chunks of a streamed answer; a plain one is not affected. See `Pace`."""
        chunking = by if isinstance(by, str | int) else tuple(by)
        return self._with(pace=Pace(chunking, ttft, tps, jitter, reads, comments, keepalive))

    def cut(self, *, chunks: int, fault: str = "dropped") -> Self:
        """The provider's connection breaks after that many content chunks; a plain answer breaks within its body.

        Raises:
            ValueError: the number is negative, or `fault` is no wire fault of a body.
        """
        if chunks < 0:
            raise ValueError(f"cut(chunks=...) is a number of content chunks from 0 on, not {chunks!r}")
        if faults.wire_fault(fault).phase != "body":
            raise ValueError(f"cut(fault={fault!r}): that strikes before the body; script it with fault({fault!r})")
        return self._with(broken=Break(chunks, fault))

    def damaged(self, name: str) -> Self:
        """The answer arrives whole, with something wrong inside, see `portkey_testing.faults`.

        Raises:
            ValueError: there is no damage of that name.
        """
        return self._with(damage=faults.damage(name).name)

    def with_usage(self, *, prompt_tokens: int, completion_tokens: int, **details: Any) -> Self:
        """Give the token counts instead of having them counted; `details` are further fields of the usage.

        Raises:
            TypeError: a detail cannot become JSON.
        """
        given = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, **details}
        return self._with(usage=_json(given, "with_usage()"))

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


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thinks before it says something."""

    text: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Speech.

    Attributes:
        text: What is said.
        data: The sound, in Base64.
    """

    text: str
    data: str


Part: TypeAlias = Text | Refusal | ToolCall | Reasoning | Audio


@dataclass(frozen=True, slots=True)
class Answer(Reply):
    """What a model says: text, refusal, tool calls and so on, in order. `+` joins two.

    Attributes:
        parts: What it says.
        finish_reason: Why it stops, in OpenAI's words; made up if None.
        structured: It is structured output: the request must have asked for it.
        logprobs: Tokens of the text with their log probabilities; made up if None, where the request asks for them.
        others: Further choices, for a request with n > 1.
    """

    parts: tuple[Part, ...]
    finish_reason: str | None = None
    structured: bool = False
    logprobs: tuple[tuple[str, float], ...] | None = None
    others: tuple[Answer, ...] = ()

    def __add__(self, other: Answer | str) -> Answer:
        """Both, one after the other; the delivery is that of the left one."""
        more = text(other) if isinstance(other, str) else other
        return replace(
            self,
            parts=self.parts + more.parts,
            finish_reason=self.finish_reason or more.finish_reason,
            structured=self.structured or more.structured,
        )

    def __radd__(self, other: str) -> Answer:
        return text(other) + self

    def finished(self, reason: str) -> Answer:
        """The model stops for that reason, such as `length` or `content_filter`."""
        return replace(self, finish_reason=reason)

    def with_logprobs(self, *tokens: tuple[str, float]) -> Answer:
        """Give the tokens of the text and their log probabilities, for requests that ask for them.

        Raises:
            ValueError: the tokens do not make up the text.
        """
        said = "".join(token for token, _ in tokens)
        if said != self.text:
            raise ValueError(f"with_logprobs(): the tokens make up {said!r}, the text is {self.text!r}")
        return replace(self, logprobs=tuple(tokens))

    def __str__(self) -> str:
        said = " + ".join(_written(part) for part in self.parts) + _modifiers(self.delivery)
        return f"choices({', '.join(map(str, (said, *self.others)))})" if self.others else said

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
class Chunks(Reply):
    """Chunks of a streamed completion in OpenAI's shape, each as JSON text.

    Attributes:
        items: The chunks.
        done: `[DONE]` follows.
    """

    items: tuple[str, ...]
    done: bool = True

    def __str__(self) -> str:
        return f"chunks of {len(self.items)}"


@dataclass(frozen=True, slots=True)
class Recorded(Reply):
    """An answer taken from a cassette.

    Attributes:
        cassette: Path of the file.
        number: Which interaction, from 1.
    """

    cassette: str
    number: int

    def __str__(self) -> str:
        return f"recorded({self.cassette!r}, {self.number})"


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
        body: The body, for a plain answer; None is what belongs to the status.
        events: The events as they are written, each with its separator, for a streamed one.
    """

    status: int = 200
    content_type: str | None = "application/json"
    body: str | None = None
    events: tuple[str, ...] | None = None
    gap: float = 0.0

    def __str__(self) -> str:
        return f"status({self.status})" if not self.body and self.events is None else f"native(status={self.status})"


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


def reasoning(content: str) -> Answer:
    """The model thinks `content`; join what it says then with `+`."""
    if not isinstance(content, str):
        raise TypeError(f"reasoning() takes a string, not {_kind(content)}")
    return Answer(parts=(Reasoning(content),))


def audio(transcript: str, data: bytes = b"") -> Answer:
    """The model speaks: `transcript` is what it says, `data` the sound."""
    if not isinstance(transcript, str):
        raise TypeError(f"audio() takes the transcript first, not {_kind(transcript)}")
    return Answer(parts=(Audio(transcript, base64.b64encode(data).decode()),))


def parsed(value: object) -> Answer:
    """Structured output: a dict, a list or a pydantic object, as the JSON text a model writes.

    Raises:
        TypeError: it cannot become JSON.
    """
    dump = getattr(value, "model_dump_json", None)
    return Answer(parts=(Text(dump() if dump is not None else _json(value, "parsed()")),), structured=True)


def choices(*answers: object) -> Answer:
    """The choices of a request with n > 1, in order; the delivery is that of the first.

    Raises:
        TypeError: something is nothing a model says.
    """
    made = [as_reply(answer) for answer in answers]
    wrong = next((answer for answer in made if not isinstance(answer, Answer)), None)
    if not made or wrong is not None:
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
    written = tuple(_json(dict(item), f"chunks(): number {number}") for number, item in enumerate(items, 1))
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
    from portkey_testing._replayed import recorded_answer

    recorded_answer(str(cassette), number)
    return Recorded(cassette=str(cassette), number=number)


def error(name: str, *, retry_after: float | None = None, message: str | None = None) -> ErrorReply:
    """An error of the catalogue, in the provider's own status, headers and words.

    Raises:
        ValueError: the catalogue has no error of that name.
    """
    known = {known for catalogue in error_catalogue().values() for known in catalogue}
    if name not in known:
        raise faults.unknown("provider error", name, sorted(known))
    if retry_after is not None and retry_after < 0:
        raise ValueError(f"error(retry_after=...) is a number of seconds from 0 on, not {retry_after!r}")
    return ErrorReply(name=name, retry_after=retry_after, message=message)


def status(code: int, body: str | Mapping[str, Any] | None = None, *, content_type: str | None = None) -> Native:
    """A status, with `body` as JSON where it is a mapping and as text otherwise.

    Without a body, a provider gives its own kind of error with it, as providers do: the gateway makes a 500 of an error
    it cannot read.
    """
    if not _is_status(code):
        raise ValueError(f"status() takes an HTTP status, not {code!r}")
    if body is None:
        return Native(status=code, content_type=content_type)
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


def fault(name: str) -> Reply:
    """A broken connection, or a stock answer that arrives damaged, see `portkey_testing.faults`.

    Raises:
        ValueError: there is no fault of that name.
    """
    if name in faults.DAMAGES:
        return text(STOCK).damaged(name)
    if name not in faults.CATALOGUE:
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
            parts = [as_reply(item) for item in value]
            if all(isinstance(part, Answer) for part in parts):
                return Answer(parts=tuple(p for part in parts if isinstance(part, Answer) for p in part.parts))
        case _ if callable(value):
            return Computed(function=value)
    if hasattr(value, "model_dump") and hasattr(value, "choices"):
        return completion(value.model_dump(mode="json", exclude_unset=True))
    raise TypeError(
        "a reply is a string, a reply of portkey_testing.replies, a completion as a dict, a status as an int, a list "
        f"of texts and tool calls, or a function of the attempt; not {_kind(value)}: {value!r:.100}"
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


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in error.errors())


def _written(part: Part) -> str:
    match part:
        case ToolCall(name, arguments):
            return f"tool_call({name!r}, {arguments})"
        case Audio(content):
            return f"audio({content!r})"
        case _:
            return f"{type(part).__name__.lower()}({part.text!r})"


def _modifiers(delivery: Delivery) -> str:
    """What a test wrote behind a reply, as far as it decides what arrives."""
    written = ""
    if delivery.delay:
        written += f".delayed({delivery.delay:g})"
    if delivery.broken is not None:
        written += f".cut(chunks={delivery.broken.chunks})"
    if delivery.damage is not None:
        written += f".damaged({delivery.damage!r})"
    return written
