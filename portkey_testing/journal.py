"""What happened, call by call: for assertions, and printed as a tree for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portkey_testing._conversation import ToolExchange, messages_of, tool_exchanges
from portkey_testing.timeline import Ending, GatewayRequest

__all__ = ["Attempt", "Call", "CallRequest", "Journal", "Route", "ToolExchange", "UpstreamRequest", "Wait"]


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
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


@dataclass(slots=True)
class Attempt:
    """One request to one provider.

    Attributes:
        provider: Its name, as in the config.
        target: Path of the target in the config, as in `x-portkey-last-used-option-index`.
        number: Which attempt at this target, from 1.
        request: What was sent; empty when a cassette is replayed, which knows the gateway's answer only.
        status: What the gateway made of the answer; 408 for a timeout, 500 for a broken connection.
        cause: Why the gateway did not stop here; empty where it did.
        reply: What answered, as the test wrote it.
        started: Seconds on the clock.
        duration: Seconds until the response headers, or the failure.
        mapping_recorded: The gateway's mapping of this provider is proven by recordings of it.
    """

    provider: str
    target: str
    number: int
    request: UpstreamRequest
    status: int
    reply: str
    started: float
    duration: float
    cause: str = ""
    mapping_recorded: bool = True


@dataclass(slots=True)
class Route:
    """The way of one call through the gateway's targets.

    Attributes:
        steps: Attempts and waits in the order they happened.
        target: Path of the target that answered; None if none was reached.
    """

    steps: list[Attempt | Wait] = field(default_factory=list)
    target: str | None = None

    @property
    def attempts(self) -> list[Attempt]:
        return [step for step in self.steps if isinstance(step, Attempt)]

    @property
    def waits(self) -> list[Wait]:
        return [step for step in self.steps if isinstance(step, Wait)]

    @property
    def providers(self) -> list[str]:
        """The provider of each target that was tried, each target once, in order."""
        tried = {attempt.target: attempt.provider for attempt in self.attempts}
        return list(tried.values())


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the application sent.

    Attributes:
        method: HTTP method.
        path: Path of the URL.
        headers: Names in lower case.
        body: The JSON body; the text where it is not JSON, None where there is none.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @classmethod
    def of(cls, request: GatewayRequest) -> CallRequest:
        return cls(request.method, request.path, request.headers, _decoded(request.body))

    @property
    def model(self) -> str | None:
        return self.body.get("model") if isinstance(self.body, dict) else None

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        return messages_of(self.body)

    @property
    def stream(self) -> bool:
        return isinstance(self.body, dict) and self.body.get("stream") is True


@dataclass(slots=True)
class Call:
    """One request of the application and everything that came of it.

    Attributes:
        number: Which call of this fake, from 1.
        request: What the application sent.
        started: Seconds on the clock.
        response: The decoded JSON answer; None for a stream, or if none came.
        status: Status of the answer; None if none came.
        error: What was raised in place of an answer, or within it.
        chunks: Events delivered, for a stream.
        route: Which targets were tried.
        duration: Seconds until the answer was read, closed or broken; None while it is still open.
        closed_early: The application hung up before the end of the answer.
        broke_off: The answer ended before it was complete.
    """

    number: int
    request: CallRequest
    started: float
    response: Any = None
    status: int | None = None
    error: BaseException | None = None
    chunks: int = 0
    route: Route = field(default_factory=Route)
    duration: float | None = None
    closed_early: bool = False
    broke_off: bool = False

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

    def __str__(self) -> str:
        return "\n".join(_call_lines(self))


class Journal:
    """The calls of one fake, in the order they arrived."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def open(self, request: GatewayRequest, now: float) -> Call:
        call = Call(len(self.calls) + 1, CallRequest.of(request), now)
        self.calls.append(call)
        return call

    def __str__(self) -> str:
        return "\n".join(str(call) for call in self.calls) if self.calls else "no calls"


def _call_lines(call: Call) -> Iterator[str]:
    request = call.request
    kind = " (stream)" if request.stream else ""
    asked = f"{request.method} {request.path} {request.model or ''}{kind}".rstrip()
    yield f"call {call.number} at {call.started:.2f} s: {asked}"
    for exchange in call.tool_exchanges:
        result = "no result" if exchange.result is None else _brief(exchange.result)
        yield f"│  tool {exchange.name}({_arguments(exchange.arguments)}) gave {result}"
    for step in call.route.steps:
        if isinstance(step, Wait):
            yield f"│  wait {step.seconds:g} s ({step.cause})"
        else:
            asked = f"{step.provider} {step.target} #{step.number}"
            yield f"├─ {step.started:.2f} s  {asked}: {step.status}  {_brief(step.reply)}"
            if step.cause:
                yield f"│    moved on: {step.cause}"
    yield f"└─ {_outcome(call)}"


def _outcome(call: Call) -> str:
    took = "still open" if call.duration is None else f"after {call.duration:.2f} s"
    parts = [str(call.status) if call.status is not None else "no answer", took]
    if call.request.stream and call.status == 200:
        parts.append(f"{call.chunks} events")
    if call.closed_early:
        parts.append("closed early by the application")
    if call.broke_off:
        parts.append("broke off")
    if call.error is not None:
        parts.append(f"{type(call.error).__name__}: {_brief(str(call.error))}")
    return ", ".join(parts)


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return str(arguments)


def _brief(text: str, width: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _decoded(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
