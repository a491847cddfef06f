"""What mounts have in common: a request as the gateway sees it, and the answer to it, played on the fake's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

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


# Applications send the same headers and timeouts with one request after the other, and the journal keeps them all.


@lru_cache(maxsize=256)
def _headers(raw: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    pairs = [(name.decode("ascii").lower(), value.decode("latin-1")) for name, value in raw]
    merged = dict(pairs)
    if len(merged) < len(pairs):
        merged = {name: ", ".join(value for named, value in pairs if named == name) for name in merged}
    return merged


_timeouts = lru_cache(maxsize=64)(Timeouts)
_ANY_TIME: Final = Timeouts()


def gateway_request(
    method: str, url: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, extensions: Mapping[str, Any]
) -> GatewayRequest:
    """A request of an HTTP library as the gateway sees it."""
    given = extensions.get("timeout")
    timeouts = _timeouts(**given) if given else _ANY_TIME
    return GatewayRequest(method, url, _headers(tuple(headers)), body, timeouts)


def core_url(request: Any) -> str:
    """The whole URL of a request of httpcore or httpcore2, which keeps it in parts."""
    url = request.url
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme.decode()}://{url.host.decode()}{port}{url.target.decode()}"
