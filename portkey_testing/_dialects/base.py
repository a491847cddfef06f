"""What the gateway and a provider say to each other, and the one protocol every dialect implements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer
from portkey_testing.timeline import Cut, Frame, GatewayRequest


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What came back from a provider, before the gateway reads it.

    Attributes:
        status: HTTP status; 500 stands for an answer that never came.
        headers: Names in lower case, the content type among them.
        delay: Seconds until the headers.
        body: A plain body.
        frames: An event stream in place of a body.
        broken: No answer came: the connection was refused or dropped.
        own: It is the gateway's own answer (a timeout), which it does not translate.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    body: bytes = b""
    frames: Iterable[Frame | Cut] | None = None
    broken: bool = False
    own: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


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
    """One provider's language, both ways."""

    recorded: bool
    """The mapping is proven by recordings of the real gateway."""

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        """What the gateway sends to the provider."""
        ...

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        """The answer as the provider's JSON."""
        ...

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        """The answer as the provider's events, one in each frame."""
        ...

    def client_json(self, provider: str, status: int, body: Any, *, strict: bool, stamps: Stamps) -> Any:
        """What the gateway makes of the provider's JSON."""
        ...

    def client_stream(
        self, provider: str, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps
    ) -> Iterator[Frame | Cut]:
        """What the gateway makes of the provider's events."""
        ...


def bounded(value: Any, low: float, high: float | None = None) -> Any:
    """A number within its limits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value < low:
        return low
    return high if high is not None and value > high else value
