"""What mounts have in common: a request as the gateway sees it, and the answer to it, played on the fake's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from portkey_client._clock import Clock, leave_clock
from portkey_testing._playback import ExceptionClasses, Playback
from portkey_testing.timeline import GatewayRequest, Responder, Timeline, Timeouts


class Answered(NamedTuple):
    """An answer that is ready to be played.

    Attributes:
        timeline: The answer.
        playback: Its body; start it before the headers are handed on.
    """

    timeline: Timeline
    playback: Playback

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in self.timeline.headers]


def answer(
    responder: Responder,
    clock: Clock,
    request: GatewayRequest,
    extensions: Mapping[str, Any],
    library: ExceptionClasses,
    *,
    body: type[Playback] = Playback,
) -> Answered:
    """The responder's answer to a request that arrived now, in the exception classes of `library`."""
    now = clock.time()
    slot = leave_clock(extensions, clock, now)
    timeline = responder.respond(request, now)
    return Answered(timeline, body(timeline, clock, request.timeouts, library, slot))


# The same headers and timeouts come with every request, and the journal keeps them all.


@lru_cache(maxsize=256)
def _name(raw: bytes) -> str:
    return raw.decode("ascii").lower()


@lru_cache(maxsize=256)
def _value(raw: bytes) -> str:
    return raw.decode("latin-1")


_timeouts = lru_cache(maxsize=64)(Timeouts)


def gateway_request(
    method: str, url: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, extensions: Mapping[str, Any]
) -> GatewayRequest:
    """A request of an HTTP library as the gateway sees it."""
    merged = {_name(name): _value(value) for name, value in headers}
    if len(merged) < len(headers):
        pairs = [(_name(name), _value(value)) for name, value in headers]
        merged = {name: ", ".join(value for named, value in pairs if named == name) for name in merged}
    return GatewayRequest(method, url, merged, body, _timeouts(**extensions.get("timeout", {})))


def core_url(request: Any) -> str:
    """The whole URL of a request of httpcore or httpcore2, which keeps it in parts."""
    url = request.url
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme.decode()}://{url.host.decode()}{port}{url.target.decode()}"
