"""What a reply is: immutable values that compare, print as they are written, and change into new ones.

`portkey_testing.replies` makes them from what a test writes, and is where they are imported from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from portkey_testing import faults
from portkey_testing._delivery import Break, Delivery, Pace, modifiers

if TYPE_CHECKING:
    from portkey_testing._attempt import AttemptView

_READABLE: Final = 1_000
"""Characters of a text that are shown where a reply is written out."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name, RFC 9110 section 5.1."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reply:  # no ABC: asking for the class of an instance would take several times as long, and is done all the time
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
            ValueError: a count is no whole number from 0 on.
        """
        for name, count in (("prompt_tokens", prompt_tokens), ("completion_tokens", completion_tokens)):
            if not is_whole(count) or count < 0:
                raise ValueError(f"with_usage({name}=...) is a number of tokens from 0 on, not {count!r}")
        given = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, **details}
        return self._with(usage=as_json(given, "with_usage()"))

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Add response headers; one that the provider sends of its own is replaced, one given twice is sent twice.

        Raises:
            TypeError: it is no mapping of names to values.
            ValueError: HTTP has no such name, or a value cannot be sent: a line break would end the header.
        """
        if not isinstance(headers, Mapping):
            raise TypeError(f"with_headers() takes a mapping of names to values, not {headers!r}")
        added = tuple((_header_name(name), _header_value(name, value)) for name, value in headers.items())
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
        return self._written() + modifiers(self.delivery)

    def _written(self) -> str:
        """The same, without its modifiers."""
        raise NotImplementedError(f"a {type(self).__name__} does not say how a test writes it")


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
        if not isinstance(other, str | Answer):
            raise TypeError(
                f"{self} + {other!r}: only what a model says makes up one answer, such as texts and tool calls"
            )
        more = _said(other)
        return replace(
            self,
            parts=self.parts + more.parts,
            finish_reason=self.finish_reason or more.finish_reason,
            structured=self.structured or more.structured,
        )

    def __radd__(self, other: str) -> Answer:
        if not isinstance(other, str):
            raise TypeError(
                f"{other!r} + {self}: only what a model says makes up one answer, such as texts and tool calls"
            )
        return _said(other) + self

    def finished(self, reason: str) -> Answer:
        """The model stops for that reason, such as `length` or `content_filter`."""
        if not isinstance(reason, str):
            raise TypeError(f"finished() takes a reason such as 'length', not {reason!r}")
        return replace(self, finish_reason=reason)

    def with_logprobs(self, *tokens: tuple[str, float]) -> Answer:
        """Give the tokens of the text and their log probabilities, for requests that ask for them.

        Raises:
            TypeError: a token is no pair of its text and its log probability.
            ValueError: the tokens do not make up the text.
        """
        given: tuple[object, ...] = tokens
        for pair in given:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"with_logprobs() takes pairs such as ('It', -0.1), not {pair!r}")
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
        return tuple([part for part in self.parts if isinstance(part, ToolCall)])


@dataclass(frozen=True, slots=True, repr=False)
class Completion(Reply):
    """A whole chat completion in OpenAI's shape, given as JSON text so that it stays a value."""

    body: str

    def __post_init__(self) -> None:
        if isinstance(self.delivery.pace.by, tuple):
            self.answer()  # where it is scripted, not where it answers, pieces that are not its text are refused

    def answer(self) -> Answer:
        """What the model says in it, in parts."""
        return answer_of(json.loads(self.body), self.delivery)

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


def answer_of(completion: Mapping[str, Any], delivery: Delivery) -> Answer:
    """A whole completion as the parts that a stream, or another provider, says."""
    first, *others = [_choice(choice) for choice in completion["choices"]] or [Answer(parts=())]
    if delivery.usage is None and isinstance(completion.get("usage"), Mapping):
        given = {name: value for name, value in completion["usage"].items() if name != "total_tokens"}
        if {"prompt_tokens", "completion_tokens"} <= set(given):
            delivery = replace(delivery, usage=as_json(given, "usage"))
    return replace(first, delivery=delivery, others=tuple(others))


def _choice(choice: Mapping[str, Any]) -> Answer:
    message = choice["message"]
    parts: list[Part] = []
    if message.get("reasoning_content"):
        parts.append(Reasoning(message["reasoning_content"]))
    if isinstance(message.get("content"), str) and message["content"]:
        parts.append(Text(message["content"]))
    if message.get("refusal"):
        parts.append(Refusal(message["refusal"]))
    if message.get("audio"):
        parts.append(Audio(message["audio"].get("transcript") or "", message["audio"].get("data") or ""))
    parts.extend(
        ToolCall(call["function"]["name"], call["function"].get("arguments", ""), call.get("id"))
        for call in message.get("tool_calls") or ()
        if "function" in call
    )
    return Answer(parts=tuple(parts), finish_reason=choice.get("finish_reason"))


def is_number(value: object) -> bool:
    """Whether a value is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _header_name(name: object) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"with_headers(): {name!r} is no name of a header, such as 'x-ratelimit-remaining'")
    return name.lower()


def _header_value(name: str, value: object) -> str:
    text = str(value)
    if any(sign in text for sign in "\r\n\0"):
        raise ValueError(f"with_headers(): the value of {name!r} has a line break or a NUL in it: {text!r}")
    return text


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


for _value in (Reply, *Reply.__subclasses__(), Text, Refusal, ToolCall, Reasoning, Audio):
    # Reports name them by the path that they are imported from.
    _value.__module__ = "portkey_testing.replies"
