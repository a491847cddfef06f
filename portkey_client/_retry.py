"""Which failures are worth another request, and after how long. Pure.

The gateway retries and falls back by its config; an answer of its own is final here. What never reached it (or got no
answer from it) is sent again: connection failures, and server errors without any header of the gateway, which come from
whatever stands in front of it. This is the rule of portkey-ai 2.3.4, less its second request after a read timeout:
the first may still be running, and is paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import httpx

from .errors import ConfigurationError

GATEWAY_HEADERS: Final = ("x-portkey-trace-id", "x-portkey-request-id", "x-portkey-gateway-exception")
"""An answer with one of these comes from the gateway."""

FIRST_DELAY_SECONDS: Final = 0.5
MAX_DELAY_SECONDS: Final = 8.0
MAX_RETRY_AFTER_SECONDS: Final = 60.0
JITTER: Final = 0.25


class RetryPolicy(NamedTuple):  # a frozen dataclass takes eight times as long to define, at import
    """When the client itself sends a request again.

    Attributes:
        max_retries: Further requests after the first.
        on_status_codes: Statuses below 500 to retry as well, such as 408 and 429, if not from the gateway.
        after_timeout: Whether to send again when no answer came in time. The first request may still be running, and is
            paid for.
    """

    max_retries: int = 1
    on_status_codes: frozenset[int] = frozenset()
    after_timeout: bool = False

    @classmethod
    def of(cls, value: object, argument: str = "max_retries") -> RetryPolicy:
        """The policy for a `max_retries=` argument.

        Raises:
            ConfigurationError: It is neither a number of retries nor a policy.
        """
        if isinstance(value, RetryPolicy):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(max_retries=value)
        raise ConfigurationError(
            f"{argument}= must be an int of 0 or more, or a RetryPolicy; got {type(value).__name__} {value!r}"
        )


def retries_status(policy: RetryPolicy, status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer with this status and these headers is worth another request."""
    if any(name in headers for name in GATEWAY_HEADERS):
        return False
    return status >= 500 or status in policy.on_status_codes


def retries_exception(policy: RetryPolicy, error: Exception) -> bool:
    """Whether a failure before any answer is worth another request."""
    if is_tls_failure(error):
        return False
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return True  # nothing was sent
        case httpx.ReadError() | httpx.WriteError():
            return True  # the connection broke, often an idle one that the other side had just closed
        case httpx.RemoteProtocolError():
            # httpcore's words for a connection closed without an answer; anything else was one, if garbled.
            return "without sending a response" in str(error)
        case httpx.ReadTimeout() | httpx.WriteTimeout() | TimeoutError():
            return policy.after_timeout
        case _:
            return False


def is_tls_failure(error: BaseException) -> bool:
    """Whether the TLS layer refused: a certificate, or what came instead of a handshake."""
    import ssl  # loaded by httpcore anyway, when the first client is made

    # Waiting for bytes, and a connection that ends without a farewell, are errors of that layer too, but no refusals.
    harmless = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLZeroReturnError, ssl.SSLEOFError)
    return any(isinstance(cause, ssl.SSLError) and not isinstance(cause, harmless) for cause in causes(error))


def causes(error: BaseException) -> list[BaseException]:
    """The exception and those behind it, nearest first."""
    chain: list[BaseException] = []
    while error not in chain:
        chain.append(error)
        behind = error.__cause__ or error.__context__
        if behind is None:
            break
        error = behind
    return chain


def delay(retry: int, retry_after: float | None, random: float) -> float:
    """Seconds to wait before a retry.

    Args:
        retry: 0 for the first.
        retry_after: Seconds the server asked for; heeded from above 0 to a minute.
        random: Between 0 and 1, for the jitter, so that clients that failed together do not come back together.
    """
    if retry_after is not None and 0 < retry_after <= MAX_RETRY_AFTER_SECONDS:
        return retry_after
    return min(FIRST_DELAY_SECONDS * float(1 << min(retry, 10)), MAX_DELAY_SECONDS) * (1 - JITTER * random)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds the server asked to wait: `retry-after-ms`, else `retry-after` in seconds or as a date (RFC 9110 10.2.3).

    Args:
        headers: The response headers.
        now: Seconds since 1970, to which a date is compared; the answer's own `date` header is used where it has one.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    until = _http_date(value)
    if until is None:
        return None
    sent = _http_date(headers.get("date", ""))
    return max(0.0, until - (now if sent is None else sent))


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


def _http_date(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # rarely needed

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
