"""An answer as data: the request that came, and a status, headers and bytes with the time between them.

Whatever turns a `GatewayRequest` into a `Timeline` is a `Responder` (the scripted engine, the replay of a
cassette); whatever plays a `Timeline` to a client is a mount. So every responder runs on every mount, sync or
async, in virtual or in real time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

Outcome = Literal["complete", "closed", "cut"]


class Timeouts(NamedTuple):
    """How long the client is willing to wait, in seconds; None is for ever."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None


class GatewayRequest(NamedTuple):
    """One HTTP request as it reached the gateway.

    Attributes:
        method: Upper-case HTTP method.
        url: The whole URL as sent, query included.
        headers: Names in lower case; a repeated header's values are joined by a comma and a blank.
        body: The raw bytes.
        timeouts: What the client would wait for, where the mount knows it.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeouts: Timeouts = Timeouts()

    @property
    def path(self) -> str:
        """The path of the URL, without the query."""
        return urlsplit(self.url).path

    @property
    def query(self) -> str:
        return urlsplit(self.url).query


class Frame(NamedTuple):
    """Bytes that arrive in one piece. A tuple, because a stream may have a million of them.

    Attributes:
        gap: Seconds since the previous frame, or since the headers for the first one.
        data: The bytes.
    """

    gap: float
    data: bytes


class Cut(NamedTuple):
    """The connection breaks instead of going on.

    Attributes:
        gap: Seconds since whatever came before.
        fault: Name of a wire fault, see `portkey_testing.faults`.
    """

    gap: float
    fault: str


@dataclass(frozen=True, slots=True)
class Events:
    """Frames of which each is known to be one whole event, and none a cut: nobody has to look for where events end.

    Attributes:
        frames: The frames; they can be taken once only.
    """

    frames: Iterator[Frame | Cut]

    def __iter__(self) -> Iterator[Frame | Cut]:
        return self.frames


class Ending(NamedTuple):
    """How the playing of one timeline ended.

    Attributes:
        outcome: `complete` (the client read everything), `closed` (it hung up early) or `cut` (a fault or a timeout).
        at: When, in seconds on the clock of the mount.
        frames: How many frames were delivered.
        error: What the client saw raised, for `cut`.
    """

    outcome: Outcome
    at: float
    frames: int
    error: BaseException | None = None


class Timeline(NamedTuple):
    """A whole answer, its timing included.

    Attributes:
        status: HTTP status.
        headers: Pairs in the order sent; names may repeat.
        delay: Seconds between the request and the headers.
        frames: The body. Produced as it is played, so it may be a generator and can be played once only.
        cut: A failure in place of the headers; then `status`, `headers` and `frames` mean nothing.
        ended: Called exactly once when the playing is over.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    frames: Iterable[Frame | Cut] = ()
    cut: Cut | None = None
    ended: Callable[[Ending], None] | None = None


class Responder(Protocol):
    """Turns a request into an answer without doing any I/O."""

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """Answer `request`, which arrived at `now` seconds on the mount's clock."""
        ...
