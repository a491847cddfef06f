"""What the gateway and a provider say to each other, and the one protocol every dialect implements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any, Final, NamedTuple, Protocol

from pydantic_core import to_json

from portkey_testing import _javascript
from portkey_testing._encode import compact
from portkey_testing._javascript import MISSING
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer, Pace
from portkey_testing.timeline import Cut, Frame, GatewayRequest

CHAT: Final = "chatComplete"
"""The gateway's name for a chat completion."""

PROXY: Final = "proxy"
"""Its name for a request it passes on as it is."""

FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "stop": "stop",
    "eos": "stop",
    "error": "stop",
    "insufficient_system_resource": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "function_call",
    "content_filter": "content_filter",
}
"""What a strict gateway calls the reasons of its providers; one it does not know is `stop`."""

_NEVER_PROXIED: Final = frozenset(("connection", "content-length", "expect", "host", "transfer-encoding"))


class WrittenJSON(bytes):
    """JSON that remembers what it was written from, so that whoever reads it next need not take it apart again.

    Attributes:
        value: What it was written from. It has many readers, so none may change it.
    """

    value: Any

    @classmethod
    def of(cls, value: Any) -> WrittenJSON:
        """A value, written without blanks."""
        try:
            written = cls(to_json(value))
        except ValueError:
            # Several times quicker than the other, it refuses halves of surrogate pairs.
            written = cls(compact(value).encode())
        written.value = value
        return written


class UnmappableError(Exception):
    """An answer, or a request, that the gateway's own translation trips over."""


class ProviderAnswer(NamedTuple):
    """What came back from a provider, before the gateway reads it.

    Attributes:
        status: HTTP status; 500 stands for an answer that never came.
        headers: Names in lower case, the content type among them.
        delay: Seconds until the headers.
        body: A plain body.
        frames: An event stream in place of a body.
        broken: No answer came: the connection was refused or dropped.
        fragile: It is scripted to break off, or to arrive damaged.
        pace: How the bytes of a stream travel to the application, where that is not one event after the other.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    body: bytes = b""
    frames: Iterable[Frame | Cut] | None = None
    broken: bool = False
    fragile: bool = False
    pace: Pace | None = None

    def header(self, name: str) -> str | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Stamps(Protocol):
    """The values a provider or the gateway makes up: ids and times."""

    def new_id(self, prefix: str) -> str:
        """An id nobody else has."""
        ...

    @property
    def created(self) -> int:
        """Now, in whole seconds since 1970."""
        ...

    @property
    def milliseconds(self) -> int:
        """Now, in milliseconds since 1970."""
        ...

    @property
    def random(self) -> Random: ...


class Dialect(Protocol):
    """One provider's language for one kind of request, both ways."""

    speaks: bool
    """What a model says can be put into it; other kinds of requests take the provider's own answers only."""

    recorded: bool
    """The mapping is proven by recordings of the real gateway."""

    translates: bool
    """The gateway reads the provider's JSON; it passes it on untouched otherwise."""

    translates_streams: bool
    """The gateway reads the provider's events; it passes them on untouched otherwise."""

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        """What the gateway sends to the provider.

        Raises:
            UnmappableError: the gateway fails on the request before it sends anything.
        """
        ...

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        """The answer as the provider's JSON.

        Raises:
            ValueError: this provider, or this kind of request, cannot say it.
        """
        ...

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        """The answer as the provider's events, one in each frame."""
        ...

    def client_json(self, status: int, body: Any, *, strict: bool, created: int) -> Any:
        """What the gateway makes of the provider's JSON at `created` seconds since 1970; it changes nothing in it.

        Raises:
            UnmappableError: it fails on it.
        """
        ...

    def client_stream(
        self, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps, model: Any = None
    ) -> Iterator[Frame | Cut]:
        """What the gateway makes of the provider's events, one in each frame; `model` is what the request asks for."""
        ...


def bounded(value: Any, low: float | None, high: float | None = None) -> Any:
    """A number within its limits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if low is not None and value < low:
        return low
    return high if high is not None and value > high else value


def upstream(
    url: str,
    headers: Mapping[str, str],
    body: Any,
    *,
    target: Target,
    client: GatewayRequest,
    proxied: bool = False,
) -> UpstreamRequest:
    """The request to a provider at `url` with the headers of its own, as the gateway completes it.

    Without a content type from the application the gateway sends no body. On proxied routes the application's own
    headers win over those of the target.
    """
    sent = {"content-type": "application/json", **headers}
    for name in map(str.lower, target.forward_headers):
        if client.headers.get(name):
            sent[name] = client.headers[name]
    if proxied:
        sent |= {name: value for name, value in client.headers.items() if _is_proxied(name)}
    # What the gateway does not pass on as it is has a method of its own.
    method = "GET" if client.method == "HEAD" and not proxied else client.method
    if method == "GET":
        del sent["content-type"]
    if method in ("GET", "HEAD", "DELETE") or not client.headers.get("content-type"):
        body = None
    return UpstreamRequest(method, url, sent, body)


def passed_on(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    """A provider's stream as the gateway passes it on unread; where it breaks off, the client's just ends."""
    for step in frames:
        if isinstance(step, Cut):
            yield Cut(step.gap, "end")
            return
        yield step


def finish_reason(reason: Any, *, strict: bool) -> Any:
    """A provider's reason as the gateway passes it on."""
    if not reason:
        return "stop"
    return FINISH_REASONS.get(reason, "stop") if strict else reason


def error(provider: str, details: Any, *, only: tuple[str, ...] = ("type", "param", "code")) -> dict[str, Any]:
    """An error in the gateway's shape, from the provider's own; `only` names what it keeps beside the message."""
    given = details if isinstance(details, dict) else {}
    message = given.get("message", "undefined")
    fields = {name: given.get(name) if name in only else None for name in ("type", "param", "code")}
    said = f"{provider} error: {_javascript.text(message)}"
    return {"error": {"message": said, **fields}, "provider": provider}


def invalid(provider: str, written: str) -> dict[str, Any]:
    """The error for an answer of another shape than the provider's."""
    message = f"Invalid response received from {provider}: {written}"
    return {"error": {"message": message, "type": None, "param": None, "code": None}, "provider": provider}


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are there."""
    return {name: value for name, value in fields.items() if value is not MISSING}


def _is_proxied(name: str) -> bool:
    return name not in _NEVER_PROXIED and not name.startswith("x-portkey-")
