"""What a reply is: immutable values that compare, print as they are written, and change into new ones.

`portkey_testing.replies` makes them from what a test writes, and is where they are imported from.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from portkey_testing import faults

if TYPE_CHECKING:
    from portkey_testing.matching import AttemptView

Headers: TypeAlias = tuple[tuple[str, str], ...]
By: TypeAlias = str | int | tuple[str, ...]

_READABLE: Final = 1_000
"""Characters of a text that are shown where a reply is written out."""

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
        if isinstance(self.by, int) and (self.by < 1 or isinstance(self.by, bool)):
            raise ValueError(f"streamed(by=...): a size is at least 1, not {self.by}")
        # Written so that a number that is none, as NaN, is refused.
        if not self.ttft >= 0:
            raise ValueError(f"streamed(ttft=...) is a number of seconds from 0 on, not {self.ttft!r}")
        if self.tps is not None and not self.tps > 0:
            raise ValueError(f"streamed(tps=...) is a number of pieces per second above 0, not {self.tps!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"streamed(jitter=...) is a share from 0 to 1, not {self.jitter!r}")
        if self.reads not in (None, "random") and not (isinstance(self.reads, int) and self.reads >= 1):
            raise ValueError(f"streamed(reads=...) is a number of bytes from 1 on, or 'random', not {self.reads!r}")
        if self.keepalive is not None and not self.keepalive > 0:
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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reply(ABC):
    """One answer of a provider. Modifiers return a new reply."""

    delivery: Delivery = field(default_factory=Delivery)

    def delayed(self, seconds: float) -> Self:
        """The headers come `seconds` later, on the clock of the mount."""
        if not is_number(seconds) or not seconds >= 0:
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
        """Cut and pace the chunks of a streamed answer; a plain one is not affected. See `Pace`.

        Raises:
            ValueError: an option is out of its range, or `by` is a list of pieces that do not make up what is said.
        """
        chunking = by if isinstance(by, str | int) else tuple(by)
        return self._with(pace=Pace(chunking, ttft, tps, jitter, reads, comments, keepalive))

    def cut(self, *, chunks: int, fault: str = "dropped") -> Self:
        """The provider's connection breaks after that many content chunks; a plain answer breaks within its body.

        Raises:
            ValueError: the number is negative, or `fault` is no wire fault of a body.
        """
        if not is_whole(chunks) or chunks < 0:
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
        return self._with(usage=as_json(given, "with_usage()"))

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Add response headers to the provider's own."""
        if not isinstance(headers, Mapping):
            raise TypeError(f"with_headers() takes a mapping of names to values, not {headers!r}")
        added = tuple((name.lower(), str(value)) for name, value in headers.items())
        return self._with(headers=self.delivery.headers + added)

    def times(self, count: int) -> Self:
        """Answer that many attempts with it."""
        if not is_whole(count) or count < 1:
            raise ValueError(f"times() takes a number from 1 on, not {count!r}")
        return self._with(repeat=count)

    def _with(self, **changes: Any) -> Self:
        return replace(self, delivery=replace(self.delivery, **changes))

    def __repr__(self) -> str:
        """The reply as a test would write it."""
        return self._written() + _modifiers(self.delivery)

    @abstractmethod
    def _written(self) -> str:
        """The same, without its modifiers."""


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


@dataclass(frozen=True, slots=True, repr=False)
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

    def __post_init__(self) -> None:
        by = self.delivery.pace.by
        if not isinstance(by, tuple):
            return
        # Given pieces are those of the text or, where there is none, of the only other thing that is said.
        said = [part.arguments if isinstance(part, ToolCall) else part.text for part in self.parts]
        whole = self.text if self.text or len(said) != 1 else said[0]
        if "".join(by) != whole:
            raise ValueError(f"streamed(by={list(by)!r}): these pieces do not make up the text {whole!r}")

    def __add__(self, other: Answer | str) -> Answer:
        """Both, one after the other; the delivery is that of the left one."""
        more = _said(other)
        return replace(
            self,
            parts=self.parts + more.parts,
            finish_reason=self.finish_reason or more.finish_reason,
            structured=self.structured or more.structured,
        )

    def __radd__(self, other: str) -> Answer:
        return _said(other) + self

    def finished(self, reason: str) -> Answer:
        """The model stops for that reason, such as `length` or `content_filter`."""
        if not isinstance(reason, str):
            raise TypeError(f"finished() takes a reason such as 'length', not {reason!r}")
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

    def _written(self) -> str:
        said = " + ".join(_written(part) for part in self.parts)
        if self.structured and len(self.parts) == 1:
            said = f"parsed({self.text})"
        if len(self.parts) != 1 and (self.finish_reason or self.delivery != Delivery()):
            said = f"({said})"
        if self.finish_reason is not None:
            said += f".finished({self.finish_reason!r})"
        return f"choices({', '.join(map(str, (said, *self.others)))})" if self.others else said

    @property
    def text(self) -> str:
        """All text, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True, repr=False)
class Completion(Reply):
    """A whole chat completion in OpenAI's shape, given as JSON text so that it stays a value."""

    body: str

    def _written(self) -> str:
        return f"completion({self.body if len(self.body) <= _READABLE else _quoted(self.body)})"


@dataclass(frozen=True, slots=True, repr=False)
class Chunks(Reply):
    """Chunks of a streamed completion in OpenAI's shape, each as JSON text.

    Attributes:
        items: The chunks.
        done: `[DONE]` follows.
    """

    items: tuple[str, ...]
    done: bool = True

    def _written(self) -> str:
        return f"chunks of {len(self.items)}"


@dataclass(frozen=True, slots=True, repr=False)
class Recorded(Reply):
    """An answer taken from a cassette.

    Attributes:
        cassette: Path of the file.
        number: Which interaction, from 1.
    """

    cassette: str
    number: int

    def _written(self) -> str:
        return f"recorded({self.cassette!r}, {self.number})"


@dataclass(frozen=True, slots=True, repr=False)
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

    def _written(self) -> str:
        extra = "" if self.retry_after is None else f", retry_after={self.retry_after:g}"
        if self.message is not None:
            extra += f", message={_quoted(self.message)}"
        return f"error({self.name!r}{extra})"


@dataclass(frozen=True, slots=True, repr=False)
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

    def _written(self) -> str:
        return f"status({self.status})" if not self.body and self.events is None else f"native(status={self.status})"


@dataclass(frozen=True, slots=True, repr=False)
class FaultReply(Reply):
    """The connection breaks, see `portkey_testing.faults`."""

    name: str

    def _written(self) -> str:
        return f"fault({self.name!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Computed(Reply):
    """A function that makes the reply from the attempt."""

    function: Callable[[AttemptView], object]

    def _written(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))


def is_number(value: object) -> bool:
    """Whether a value is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; a truth value is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_json(value: object, where: str) -> str:
    """A value as JSON text; `where` says in an error who wanted it.

    Raises:
        TypeError: JSON cannot carry it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as cause:
        raise TypeError(f"{where}: this cannot become JSON ({cause}): {value!r:.200}") from cause


def _said(what: Answer | str) -> Answer:
    return Answer(parts=(Text(what),)) if isinstance(what, str) else what


def _written(part: Part) -> str:
    match part:
        case ToolCall(name, arguments):
            return f"tool_call({name!r}, {arguments if len(arguments) <= _READABLE else _quoted(arguments)})"
        case Audio(content):
            return f"audio({_quoted(content)})"
        case _:
            return f"{type(part).__name__.lower()}({_quoted(part.text)})"


def _quoted(text: str) -> str:
    """A text as it is written, or the beginning of one that nobody would read to its end."""
    if len(text) <= _READABLE:
        return repr(text)
    return f"{text[:_READABLE]!r}... of {len(text):,} characters"


def _modifiers(delivery: Delivery) -> str:
    """What a test wrote behind a reply."""
    written = ""
    if delivery.delay:
        written += f".delayed({delivery.delay:g})"
    pace = [
        f"{spec.name}={value!r}"
        for spec in fields(Pace)
        if (value := getattr(delivery.pace, spec.name)) != spec.default
    ]
    if pace:
        written += f".streamed({', '.join(pace)})"
    if delivery.broken is not None:
        fault = "" if delivery.broken.fault == "dropped" else f", fault={delivery.broken.fault!r}"
        written += f".cut(chunks={delivery.broken.chunks}{fault})"
    if delivery.damage is not None:
        written += f".damaged({delivery.damage!r})"
    if delivery.usage is not None:
        written += f".with_usage(**{delivery.usage})"
    if delivery.headers:
        written += f".with_headers({dict(delivery.headers)!r})"
    if delivery.repeat != 1:
        written += f".times({delivery.repeat})"
    return written


for _value in (Pace, Break, Delivery, Reply, *Reply.__subclasses__(), Text, Refusal, ToolCall, Reasoning, Audio):
    # Reports name them by the path that they are imported from.
    _value.__module__ = "portkey_testing.replies"
