"""How long a call may take: httpx's timeouts for its steps, and deadlines for the whole of it."""

from __future__ import annotations

from typing import Final

import httpx

from .errors import ConfigurationError
from .types import NOT_GIVEN, NotGiven

DEFAULT_TIMEOUT: Final = httpx.Timeout(600.0, connect=5.0)
"""A provider may think for minutes before its first token; a gateway out of reach should be noticed at once."""


class Timeout(httpx.Timeout):  # noqa: PLW1641  # it can be changed, so it has no hash, as httpx's has none
    """How long a call may take, in seconds; None is for ever.

    `Timeout(30, total=120)` is 30 seconds for each step and two minutes for the call. Without a first argument the
    steps that are not named have the usual time: 5 seconds to connect, 600 for any other.

    A deadline begins with the call, and goes on while the client waits for a retry or a loop works on a chunk. A retry
    that could only begin after it is not made.

    Attributes:
        connect: For a connection to stand.
        read: For the head of an answer, once the request is sent; then for its body, or for each chunk of a stream.
        write: For each piece of the request to be taken.
        pool: For a connection to become free.
        first_token: From the call to the first chunk of a streamed answer that says something. Other calls ignore it.
        total: From the call to the end of its answer, streamed or not.

    Raises:
        ConfigurationError: One of them is no number above 0.
    """

    def __init__(
        self,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        *,
        connect: float | NotGiven | None = NOT_GIVEN,
        read: float | NotGiven | None = NOT_GIVEN,
        write: float | NotGiven | None = NOT_GIVEN,
        pool: float | NotGiven | None = NOT_GIVEN,
        first_token: float | None = None,
        total: float | None = None,
    ) -> None:
        steps = httpx.Timeout(timeout).as_dict()
        named = {"connect": connect, "read": read, "write": write, "pool": pool}
        steps |= {name: value for name, value in named.items() if not isinstance(value, NotGiven)}
        super().__init__(**{name: check_seconds(name, seconds) for name, seconds in steps.items()})
        self.first_token = check_seconds("first_token", first_token)
        self.total = check_seconds("total", total)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and deadlines_of(self) == deadlines_of(other)

    def __repr__(self) -> str:
        deadlines = [f", {name}={seconds}" for name, seconds in deadlines_of(self).items() if seconds is not None]
        return f"{super().__repr__().removesuffix(')')}{''.join(deadlines)})"


def deadlines_of(timeout: object) -> dict[str, float | None]:
    """The deadlines that a `timeout=` argument holds: those of a `Timeout`; no other has any."""
    if isinstance(timeout, Timeout):
        return {"first_token": timeout.first_token, "total": timeout.total}
    return {"first_token": None, "total": None}


def check_seconds(name: str, seconds: object) -> float | None:
    """A time of that name, as it was given.

    Raises:
        ConfigurationError: It is neither a number above 0 nor None.
    """
    if seconds is None or (isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0):
        return seconds
    raise ConfigurationError(
        f"{name}= must be a number of seconds above 0, or None for no limit; got {type(seconds).__name__} {seconds!r}"
    )
