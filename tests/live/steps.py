"""What a scripted provider does with one request: a step as data, and the HTTP answer it makes.

A script is a list of steps; attempt number n takes step n, and the last step stands for every later attempt.
In a YAML file a step is a mapping whose `kind` names one of the classes below (`json` where there is none) and whose
other keys are the fields of that class; a field that is null counts as not given:

    json            any JSON body, any status
    openai          a chat completion
    anthropic       an Anthropic message
    openai_sse      a chat completion as a stream of chunks
    anthropic_sse   an Anthropic message as its sequence of events
    sse             literal events
    text            any other body (HTML, XML, broken JSON)
    empty           a status with neither body nor content type
    drop            the connection is closed before the first byte of an answer

Every step takes `sleep` and `headers`; the three that stream also take `status`, `content_type`, `gap` and
`drop_after`. A mapping with nothing but `stream_switch: {true: STEP, false: STEP}` chooses by whether the request
asks for a stream.

The ids, times and token counts in the answers are fixed on purpose: what is recorded behind this provider is the same
every time.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, get_args, get_origin, get_type_hints

Json = Any

CREATED: Final = 1_700_000_000
COMPLETION_ID: Final = "chatcmpl-stub"
MESSAGE_ID: Final = "msg_stub"
OPENAI_USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
ANTHROPIC_USAGE: Final = {"input_tokens": 9, "output_tokens": 4}


class StepError(ValueError):
    """A scripted step is not one this provider can play."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP answer to one attempt.

    Attributes:
        status: HTTP status.
        headers: Lower-case names to values; framing (length, chunking) is the server's business.
        parts: The body in the pieces in which it is written.
        streamed: Whether the pieces go out one by one; otherwise as one body with its length.
        gap: Seconds after each piece of a stream.
        drop_after: The connection is closed after this many pieces, short of the end; None for never.
    """

    status: int
    headers: Mapping[str, str]
    parts: Sequence[bytes] = ()
    streamed: bool = False
    gap: float = 0.0
    drop_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(ABC):
    """What every step can say.

    Attributes:
        sleep: Seconds to wait before doing anything.
        headers: Response headers, added to or replacing those of the kind.
    """

    kind: ClassVar[str]

    sleep: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    @abstractmethod
    def answer(self, request: Json) -> Answer | None:
        """The answer to a request with this JSON body, or None to close the connection without one."""

    def chosen(self, request: Json) -> Step:
        """The step that plays for a request with this JSON body."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonReply(Step):
    """Any JSON value."""

    kind = "json"

    status: int = 200
    body: Json = None

    def answer(self, request: Json) -> Answer:
        return _json(self.status, self.headers, self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI(Step):
    """A chat completion.

    Attributes:
        text: Content of the message; None is what goes with tool calls.
        model: None echoes the model of the request.
        finish_reason: None is `tool_calls` or `stop`, whichever fits.
        extra: Further top-level fields.
    """

    kind = "openai"

    status: int = 200
    text: str | None = None
    tool_calls: Sequence[Json] = ()
    refusal: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Json] = field(default_factory=lambda: OPENAI_USAGE)
    extra: Mapping[str, Json] = field(default_factory=dict)

    def answer(self, request: Json) -> Answer:
        message: dict[str, Json] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        if self.refusal is not None:
            message["refusal"] = self.refusal
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish_reason or ("tool_calls" if self.tool_calls else "stop"),
        }
        body = {
            "id": COMPLETION_ID,
            "object": "chat.completion",
            "created": CREATED,
            "model": _model(self.model, request, "stub-model"),
            "choices": [choice],
            "usage": self.usage or OPENAI_USAGE,
            **self.extra,
        }
        return _json(self.status, self.headers, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anthropic(Step):
    """An Anthropic message.

    Attributes:
        text: The one text block, when `content` is not given.
        content: The content blocks as they are.
        model: None echoes the model of the request.
        extra: Further top-level fields.
    """

    kind = "anthropic"

    status: int = 200
    text: str = ""
    content: Sequence[Json] | None = None
    model: str | None = None
    stop_reason: str | None = "end_turn"
    stop_sequence: str | None = None
    usage: Mapping[str, Json] = field(default_factory=lambda: ANTHROPIC_USAGE)
    extra: Mapping[str, Json] = field(default_factory=dict)

    def answer(self, request: Json) -> Answer:
        body = {
            "id": MESSAGE_ID,
            "type": "message",
            "role": "assistant",
            "model": _model(self.model, request, "stub-claude"),
            "content": [{"type": "text", "text": self.text}] if self.content is None else self.content,
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "usage": self.usage or ANTHROPIC_USAGE,
            **self.extra,
        }
        return _json(self.status, self.headers, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed(Step):
    """What the steps that stream share.

    Attributes:
        gap: Seconds after each event. Not zero, so that each event is a packet of its own.
        drop_after: The connection is closed after this many events, short of the end.
    """

    status: int = 200
    content_type: str = "text/event-stream"
    gap: float = 0.005
    drop_after: int | None = None

    def answer(self, request: Json) -> Answer:
        return Answer(
            status=self.status,
            headers=_headers(self.content_type, self.headers),
            parts=[event.encode() for event in self.encoded(request)],
            streamed=True,
            gap=self.gap,
            drop_after=self.drop_after,
        )

    @abstractmethod
    def encoded(self, request: Json) -> Iterator[str]:
        """The events as text, each ending in its blank line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sse(Streamed):
    """Literal events.

    Attributes:
        events: Each either text, written as it is, or `{event, data}` with `event` optional and `data` text or JSON.
    """

    kind = "sse"

    events: Sequence[Json] = ()

    def __post_init__(self) -> None:
        for event in self.events:
            if not isinstance(event, str) and not (isinstance(event, Mapping) and set(event) <= {"event", "data"}):
                raise StepError(f"an event is text or a mapping of `event` and `data`, not {event!r}")

    def encoded(self, request: Json) -> Iterator[str]:
        for event in self.events:
            yield event if isinstance(event, str) else _event(event.get("data", ""), event.get("event"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISse(Streamed):
    """A chat completion in chunks.

    Attributes:
        deltas: One chunk each: text, or a `delta` object. The first one is given the role.
        usage: Sent with the finishing chunk, if any.
        done: Whether `[DONE]` ends the stream.
    """

    kind = "openai_sse"

    deltas: Sequence[Json] = ()
    model: str | None = None
    finish_reason: str | None = "stop"
    usage: Mapping[str, Json] | None = None
    done: bool = True

    def __post_init__(self) -> None:
        for delta in self.deltas:
            if not isinstance(delta, str | Mapping):
                raise StepError(f"a delta is text or a mapping, not {delta!r}")

    def encoded(self, request: Json) -> Iterator[str]:
        def chunk(delta: Mapping[str, Json], finish_reason: str | None = None) -> dict[str, Json]:
            return {
                "id": COMPLETION_ID,
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": _model(self.model, request, "stub-model"),
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
            }

        for position, given in enumerate(self.deltas):
            delta = {"content": given} if isinstance(given, str) else given
            yield _event(chunk({"role": "assistant", **delta} if position == 0 else delta))
        last = chunk({}, self.finish_reason)
        yield _event({**last, "usage": self.usage} if self.usage else last)
        if self.done:
            yield _event("[DONE]")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicSse(Streamed):
    """An Anthropic message as its sequence of events.

    Attributes:
        blocks: `{type: text, pieces: [...]}`, `{type: thinking, pieces: [...], signature}` or
            `{type: tool_use, id, name, pieces: [...]}` (or `tool`); the pieces become one delta each.
        start_usage: Token counts in `message_start`.
        usage: Token counts in `message_delta`.
        ping: Whether a `ping` follows the start of the first block.
    """

    kind = "anthropic_sse"

    blocks: Sequence[Json] = ()
    model: str | None = None
    stop_reason: str | None = "end_turn"
    start_usage: Mapping[str, Json] = field(default_factory=lambda: {"input_tokens": 9, "output_tokens": 1})
    usage: Mapping[str, Json] = field(default_factory=lambda: {"output_tokens": 4})
    ping: bool = True

    def __post_init__(self) -> None:
        for block in self.blocks:
            if not isinstance(block, Mapping) or block.get("type") not in ("text", "thinking", "tool_use", "tool"):
                raise StepError(f"a block is a mapping of type text, thinking or tool_use, not {block!r}")
            required = {"pieces", "name"} if block["type"].startswith("tool") else {"pieces"}
            if missing := required - set(block):
                raise StepError(f"the {block['type']} block lacks {', '.join(sorted(missing))}: {block!r}")

    def encoded(self, request: Json) -> Iterator[str]:
        def event(kind: str, **content: Json) -> str:
            return _event({"type": kind, **content}, kind)

        message: dict[str, Json] = {
            "id": MESSAGE_ID,
            "type": "message",
            "role": "assistant",
            "model": _model(self.model, request, "stub-claude"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self.start_usage,
        }
        yield event("message_start", message=message)
        for index, block in enumerate(self.blocks):
            start, deltas = _content_block(block, index)
            yield event("content_block_start", index=index, content_block=start)
            if index == 0 and self.ping:
                yield event("ping")
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        yield event("message_delta", delta={"stop_reason": self.stop_reason, "stop_sequence": None}, usage=self.usage)
        yield event("message_stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Step):
    """A body that is not JSON, or not quite."""

    kind = "text"

    status: int = 200
    content_type: str = "text/plain"
    body: str = ""

    def answer(self, request: Json) -> Answer:
        return Answer(self.status, _headers(self.content_type, self.headers), [self.body.encode()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty(Step):
    """A status and nothing else."""

    kind = "empty"

    status: int = 200

    def answer(self, request: Json) -> Answer:
        return Answer(self.status, _headers(None, self.headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Step):
    """The connection is closed before the first byte of an answer, as by a provider that dies."""

    kind = "drop"

    def answer(self, request: Json) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSwitch(Step):
    """One step for requests that ask for a stream, another for those that do not."""

    kind = "stream_switch"

    streaming: Step
    plain: Step

    def chosen(self, request: Json) -> Step:
        asked = isinstance(request, dict) and request.get("stream") is True
        return (self.streaming if asked else self.plain).chosen(request)

    def answer(self, request: Json) -> Answer | None:
        return self.chosen(request).answer(request)


KINDS: Final[Mapping[str, type[Step]]] = {
    step.kind: step for step in (JsonReply, OpenAI, Anthropic, OpenAISse, AnthropicSse, Sse, Text, Empty, Drop)
}


# upstream names to steps, each a value or the mapping a YAML file holds
Script = Mapping[str, Sequence[Step | Mapping[str, Any]]]


def parse_script(script: object, where: str = "script", *, strict: bool = True) -> dict[str, list[Step]]:
    """Upstream names to steps, from the mapping a YAML file holds; steps given as values are kept.

    Parameters:
        strict: An unknown field and an upstream without steps are errors. The server behind which the corpus was
            recorded passes over both.

    Raises:
        StepError: what is wrong, and at which place below `where`.
    """
    if not isinstance(script, Mapping):
        raise StepError(f"{where}: expected a mapping of upstream names to lists of steps, not {script!r}")
    steps = {}
    for name, listed in script.items():
        if not listed and not strict:
            continue
        if not isinstance(listed, list | tuple) or not listed:
            raise StepError(f"{where}.{name}: expected a list of at least one step, not {listed!r}")
        steps[str(name)] = [
            parse_step(step, f"{where}.{name}[{number}]", strict=strict) for number, step in enumerate(listed)
        ]
    return steps


def parse_step(raw: object, where: str = "step", *, strict: bool = True) -> Step:
    """One step from a mapping; a step given as a value is returned as it is.

    Raises:
        StepError: an unknown kind, an unknown field if `strict`, a missing one, a value of the wrong type.
    """
    if isinstance(raw, Step):
        return raw
    if not isinstance(raw, Mapping):
        raise StepError(f"{where}: expected a mapping, not {raw!r}")
    if "stream_switch" in raw:
        return _parse_switch(raw, where, strict=strict)
    kind = raw.get("kind", JsonReply.kind)
    if not isinstance(kind, str) or kind not in KINDS:
        raise StepError(f"{where}: unknown kind {kind!r}; known are {', '.join(KINDS)} and a lone stream_switch")
    step = KINDS[kind]
    # a body may be null, and an answer may end without a reason; elsewhere null says nothing
    values: dict[str, Any] = {
        name: value
        for name, value in raw.items()
        if name != "kind" and (value is not None or name in ("body", "finish_reason", "stop_reason"))
    }
    hints = get_type_hints(step)
    known = {f.name for f in fields(step)}
    if not strict:
        values = {name: value for name, value in values.items() if name in known}
    if unknown := set(values) - known:
        raise StepError(
            f"{where}: a step of kind {kind} has no field {', '.join(sorted(map(str, unknown)))}; "
            f"it has {', '.join(sorted(known))}"
        )
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise StepError(f"{where}.{name}: expected {_spelt(hints[name])}, not {value!r}")
    try:
        return step(**values)
    except StepError as error:
        raise StepError(f"{where}: {error}") from None


def _parse_switch(raw: Mapping[Any, Any], where: str, *, strict: bool) -> StreamSwitch:
    branches = raw["stream_switch"]
    if strict and set(raw) != {"stream_switch"}:
        raise StepError(f"{where}: stream_switch stands alone; put the other fields into its two steps: {dict(raw)!r}")
    # YAML reads an unquoted true as a boolean, and files are written either way
    by_name = {str(name).lower(): step for name, step in branches.items()} if isinstance(branches, Mapping) else {}
    if set(by_name) != {"true", "false"}:
        raise StepError(f"{where}.stream_switch: expected the two keys true and false, not {branches!r}")
    return StreamSwitch(
        streaming=parse_step(by_name["true"], f"{where}.stream_switch.true", strict=strict),
        plain=parse_step(by_name["false"], f"{where}.stream_switch.false", strict=strict),
    )


def _fits(value: object, hint: Any) -> bool:
    """Whether `value` is of the annotated type, looking one level deep: enough for what YAML can hold."""
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_fits(value, member) for member in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    plain = get_origin(hint) or hint
    if plain is Mapping and get_args(hint)[1] is str:
        return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
    return isinstance(value, plain) and not (plain is Sequence and isinstance(value, str))


def _spelt(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(_spelt(member) for member in get_args(hint))
    names = {float: "a number of seconds, 0 or more", int: "a whole number", str: "text", bool: "true or false"}
    names |= {Sequence: "a list", Mapping: "a mapping", NoneType: "null"}
    plain = get_origin(hint) or hint
    suffix = " with text values" if plain is Mapping and get_args(hint)[1] is str else ""
    return f"{names[plain]}{suffix}"


def _content_block(block: Mapping[str, Json], index: int) -> tuple[dict[str, Json], Iterable[dict[str, Json]]]:
    """The start of an Anthropic content block, and its deltas."""
    pieces = block["pieces"]
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]
        case "thinking":
            signature = {"type": "signature_delta", "signature": block.get("signature", "sig")}
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signature]
        case _:
            call = {"type": "tool_use", "id": block.get("id", f"toolu_{index}"), "name": block["name"], "input": {}}
            return call, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def _event(data: Json, name: str | None = None) -> str:
    written = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {written}\n\n" if name else f"data: {written}\n\n"


def _json(status: int, headers: Mapping[str, str], body: Json) -> Answer:
    return Answer(status, _headers("application/json; charset=utf-8", headers), [json.dumps(body).encode()])


def _headers(content_type: str | None, given: Mapping[str, str]) -> dict[str, str]:
    kind = {"content-type": content_type} if content_type else {}
    return kind | {name.lower(): value for name, value in given.items()}


def _model(scripted: str | None, request: Json, otherwise: str) -> str:
    asked = request.get("model") if isinstance(request, dict) else None
    return scripted or asked or otherwise
