"""What happened, call by call: for assertions, and printed as a tree for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

from portkey_testing._conversation import ToolExchange, messages_of, tool_exchanges
from portkey_testing._wording import one_line
from portkey_testing.timeline import Ending, GatewayRequest

__all__ = [
    "Attempt",
    "Call",
    "CallRequest",
    "Guardrails",
    "Journal",
    "Route",
    "ToolExchange",
    "UpstreamRequest",
    "Wait",
]


class UpstreamRequest(NamedTuple):
    """What the gateway sent to a provider.

    Attributes:
        method: HTTP method.
        url: The whole URL.
        headers: Names in lower case.
        body: The JSON body; None if there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class Wait:
    """A pause between two attempts.

    Attributes:
        seconds: How long.
        cause: Why.
        started: Seconds on the clock.
    """

    seconds: float
    cause: str
    started: float


@dataclass(slots=True, repr=False)
class Attempt:
    """One request to one provider.

    Attributes:
        provider: Its name, as in the config.
        target: Path of the target in the config, as in `x-portkey-last-used-option-index`.
        number: Which attempt at this target, from 1.
        answered_by: What answered: a reply, or words.
        status: What the gateway made of the answer; 408 for a timeout, 500 for a broken connection.
        failure: What kept the provider from answering, such as `timeout 500 ms` or `connection refused`; else empty.
        cause: Why the gateway did not stop here; empty where it did.
        started: Seconds on the clock.
        duration: Seconds until the response headers, or the failure.
        mapping_recorded: The gateway's mapping of this provider is proven by recordings of it.
        redirects: Where the provider sent the gateway on to.
    """

    provider: str
    target: str
    number: int
    _request: UpstreamRequest | Callable[[], UpstreamRequest]  # the latter as most are never looked at, and large
    status: int
    answered_by: object
    started: float
    duration: float
    failure: str = ""
    cause: str = ""
    mapping_recorded: bool = True
    redirects: tuple[str, ...] = ()

    @property
    def request(self) -> UpstreamRequest:
        """What was sent; empty when a cassette is replayed, which knows the gateway's answer only."""
        if not isinstance(self._request, UpstreamRequest):
            self._request = self._request()
        return self._request

    @property
    def reply(self) -> str:
        """What answered, as the test wrote it."""
        return str(self.answered_by)

    def __repr__(self) -> str:
        return f"<Attempt {_tried(self)}>"  # pytest shows it where an assertion fails; bodies would fill the screen


@dataclass(slots=True)
class Guardrails:
    """What the guardrails and mutators of a target found, before its first attempt or after one.

    Attributes:
        target: Path of the target in the config.
        stage: `input` or `output`.
        results: What the application is told of each.
        denied: One that denies failed.
        started: Seconds on the clock.
    """

    target: str
    stage: str
    results: Sequence[Mapping[str, Any]]
    denied: bool
    started: float

    @property
    def failed(self) -> list[str]:
        """Ids of those that failed."""
        return [str(result["id"]) for result in self.results if not result["verdict"]]

    def __str__(self) -> str:
        if not self.failed:
            return f"{self.stage} guardrails of {self.target} passed"
        outcome = "denied" if self.denied else "failed, but do not deny"
        return f"{self.stage} guardrails of {self.target} {outcome}: {', '.join(self.failed)}"


Step: TypeAlias = "Attempt | Wait | Guardrails"


@dataclass(slots=True)
class Route:
    """The way of one call through the gateway's targets.

    Attributes:
        steps: Attempts, waits and guardrails in the order they happened.
        target: Path of the target that answered; None if none was reached.
        cache: What the cache had to do with it, such as `HIT`; None where no target asked for it.
    """

    steps: list[Step] = field(default_factory=list)
    target: str | None = None
    cache: str | None = None

    @property
    def attempts(self) -> list[Attempt]:
        return [step for step in self.steps if isinstance(step, Attempt)]

    @property
    def waits(self) -> list[Wait]:
        return [step for step in self.steps if isinstance(step, Wait)]

    @property
    def guardrails(self) -> list[Guardrails]:
        return [step for step in self.steps if isinstance(step, Guardrails)]

    @property
    def providers(self) -> list[str]:
        """The provider of each target that was tried, each target once, in order."""
        tried = {attempt.target: attempt.provider for attempt in self.attempts}
        return list(tried.values())


class CallRequest:
    """What the application sent, taken apart where somebody looks: most calls of a test are never looked at.

    Attributes:
        http: The request as it came.
    """

    def __init__(self, http: GatewayRequest) -> None:
        self.http = http

    @property
    def method(self) -> str:
        return self.http.method

    @property
    def path(self) -> str:
        """The path of the URL."""
        return self.http.path

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        return dict(self.http.headers)  # a copy, since requests share theirs

    @cached_property
    def body(self) -> Any:
        """The JSON body; the text where it is not JSON, None where there is none."""
        return _decoded(self.http.body) if self.http.body else None

    @property
    def model(self) -> str | None:
        return self.body.get("model") if isinstance(self.body, dict) else None

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        return messages_of(self.body)

    @property
    def stream(self) -> bool:
        return isinstance(self.body, dict) and self.body.get("stream") is True


@dataclass(slots=True, repr=False)
class Call:
    """One request of the application and everything that came of it.

    Attributes:
        number: Which call of this fake, from 1.
        http: The request of the application as it came.
        started: Seconds on the clock.
        content: The body of the answer as it was sent; None for a stream, or if none came.
        status: Status of the answer; None if none came.
        error: What was raised in place of an answer, or within it.
        chunks: Events delivered, for a stream.
        route: Which targets were tried.
        duration: Seconds until the answer was read, closed or broken; None while it is still open.
        closed_early: The application hung up before the end of the answer.
        broke_off: The answer ended before it was complete.
        answer_headers: Headers of the answer as they were sent.
        received: The bytes that were delivered of an answer scripted to break off; empty for any other.
    """

    number: int
    http: GatewayRequest
    started: float
    content: bytes | None = None
    status: int | None = None
    error: BaseException | None = None
    chunks: int = 0
    route: Route = field(default_factory=Route)
    duration: float | None = None
    closed_early: bool = False
    broke_off: bool = False
    answer_headers: Sequence[tuple[str, str]] = ()
    received: Sequence[bytes] = ()
    _request: CallRequest | None = field(default=None, init=False)
    _response: Any = field(default=None, init=False)

    @property
    def request(self) -> CallRequest:
        """What the application sent."""
        if self._request is None:
            self._request = CallRequest(self.http)
        return self._request

    @property
    def response(self) -> Any:
        """The JSON of the answer; the text where it is not JSON, None for a stream, or if none came."""
        if self._response is None and self.content is not None:
            self._response = _decoded(self.content)
        return self._response

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the answer, names in lower case."""
        return {name.lower(): value for name, value in self.answer_headers}

    @property
    def partial_text(self) -> str:
        """What the model had said when a streamed answer broke off."""
        blocks = b"".join(self.received).decode("utf-8", "replace").split("\n\n")
        chunks = [_decoded(block.removeprefix("data:").strip().encode()) for block in blocks]
        choices = [choice for chunk in chunks if isinstance(chunk, dict) for choice in chunk.get("choices") or ()]
        return "".join((choice.get("delta") or {}).get("content") or "" for choice in choices)

    @property
    def tool_exchanges(self) -> list[ToolExchange]:
        """The tool calls in the conversation that was sent, with the results the application gave."""
        return tool_exchanges(self.request.messages)

    def finish(self, ending: Ending) -> None:
        """Take over how the answer was read."""
        self.duration = ending.at - self.started
        self.closed_early = ending.outcome == "closed"
        self.broke_off = ending.outcome == "cut"
        self.chunks = ending.frames
        if ending.error is not None:
            self.error = ending.error

    def mermaid(self) -> str:
        """The call as a Mermaid sequence diagram."""
        return "\n".join(_mermaid_lines(self))

    def __repr__(self) -> str:
        return f"<Call {self.number}: {_asked(self)}, {_outcome(self)}>"

    def __str__(self) -> str:
        return "\n".join(_call_lines(self))


class Journal:
    """The calls of one fake, in the order they arrived."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def open(self, request: GatewayRequest, now: float) -> Call:
        call = Call(len(self.calls) + 1, request, now)
        self.calls.append(call)
        return call

    def __str__(self) -> str:
        return "\n".join(str(call) for call in self.calls) if self.calls else "no calls"


def _call_lines(call: Call) -> Iterator[str]:
    yield f"call {call.number} at {call.started:.2f} s: {_asked(call)}"
    for exchange in call.tool_exchanges:
        result = "no result" if exchange.result is None else one_line(exchange.result)
        asked = one_line(f"{exchange.name}({_arguments(exchange.arguments)})")
        yield f"│  tool {asked} gave {result}"
    for step in call.route.steps:
        match step:
            case Wait():
                yield f"│  wait {step.seconds:g} s ({step.cause})"
            case Guardrails():
                yield f"│  {step}"
            case Attempt():
                yield f"├─ {step.started:.2f} s  {_tried(step)}  {one_line(step.reply)}"
                yield from (f"│    {note}" for note in _notes(step))
    yield f"└─ {_outcome(call)}"


def _mermaid_lines(call: Call) -> Iterator[str]:
    yield "sequenceDiagram"
    yield "    participant application"
    yield "    participant gateway"
    names = {attempt.target: f"p{number}" for number, attempt in enumerate(_first_attempts(call.route))}
    for attempt in _first_attempts(call.route):
        yield f"    participant {names[attempt.target]} as {_mermaid(f'{attempt.provider} {attempt.target}')}"
    yield f"    application->>gateway: {_mermaid(_asked(call))}"
    for step in call.route.steps:
        match step:
            case Wait():
                yield f"    Note over gateway: {_mermaid(f'wait {step.seconds:g} s, {step.cause}')}"
            case Guardrails():
                yield f"    Note over gateway: {_mermaid(str(step))}"
            case Attempt():
                name = names[step.target]
                yield f"    gateway->>{name}: {_mermaid(f'attempt {step.number} at {step.started:.2f} s')}"
                yield f"    {name}-->>gateway: {_mermaid(f'{_answered(step)} {one_line(step.reply)}')}"
                yield from (f"    Note over gateway: {_mermaid(note)}" for note in _notes(step))
    yield f"    gateway-->>application: {_mermaid(_outcome(call))}"


def _first_attempts(route: Route) -> list[Attempt]:
    """The first attempt at each target, in order."""
    first: dict[str, Attempt] = {}
    for attempt in route.attempts:
        first.setdefault(attempt.target, attempt)
    return list(first.values())


def _asked(call: Call) -> str:
    request = call.request
    kind = " (stream)" if request.stream else ""
    return f"{request.method} {request.path} {one_line(str(request.model or ''))}{kind}".rstrip()


def _tried(attempt: Attempt) -> str:
    return f"{attempt.provider} {attempt.target} #{attempt.number}: {_answered(attempt)}"


def _answered(attempt: Attempt) -> str:
    return f"{attempt.status}, {attempt.failure}" if attempt.failure else str(attempt.status)


def _notes(attempt: Attempt) -> Iterator[str]:
    yield from (f"redirected to {url}" for url in attempt.redirects)
    if not attempt.mapping_recorded:
        yield f"not recorded: how the real gateway maps {attempt.provider} is taken to be as for OpenAI"
    if attempt.cause:
        yield f"moved on: {attempt.cause}"


def _mermaid(text: str) -> str:
    """A text as Mermaid takes it, on one line: as entities its own signs and those of comments, HTML and formulas."""
    return " ".join(text.split()).translate(_ENTITIES)


_ENTITIES: Final = {ord(sign): f"#{ord(sign)};" for sign in "#;%<>$"}


def _outcome(call: Call) -> str:
    took = "still open" if call.duration is None else f"after {call.duration:.2f} s"
    parts = [str(call.status) if call.status is not None else "no answer", took]
    if call.route.cache is not None:
        parts.append(f"cache {call.route.cache}")
    if call.request.stream and call.status == 200:
        parts.append(f"{call.chunks} events")
    if call.closed_early:
        parts.append("closed early by the application")
    if call.broke_off:
        parts.append("broke off")
    if call.error is not None:
        parts.append(f"{type(call.error).__name__}: {one_line(str(call.error))}")
    return ", ".join(parts)


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return str(arguments)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
