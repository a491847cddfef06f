"""The core: one call as a generator. It yields what it wants done and is sent the outcome; it does no I/O itself.

A driver (`_drive`) runs it: for `Send` it sends back a response, for `Read` a body, for `Sleep` nothing, or it throws
in the exception that came instead. In the end the generator returns the answer, or raises a PortkeyError.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import httpx
from pydantic import ValidationError

from . import _retry
from ._body import BodyError
from ._gateway import GatewayInfo
from ._retry import RetryPolicy
from ._watch import Watch
from .errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    NameResolutionError,
    PoolTimeoutError,
    RedirectError,
    TLSError,
    describe,
    excerpt,
    status_error_class,
)
from .types import Answer, set_headers

T = TypeVar("T")
AnswerT = TypeVar("AnswerT", bound=Answer)

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""The largest body that is taken, decompressed; the longest answers of any model are far below."""
ERROR_BODY_SECONDS: Final = 5.0
"""How long to wait for the body of an error status: the status alone is worth reporting."""

SEND_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""What a transport raises when sending or reading fails. Anything else is a mistake in a program and left alone."""


_PHASES: Final[Mapping[type[Exception], str]] = {httpx.ConnectTimeout: "connect", httpx.WriteTimeout: "write"}
"""Which of the timeouts each exception is about; any other is about reading."""

# Named tuples, here, in `_call` and in `headers`: a frozen dataclass takes eight times as long to define, at import.


class Send(NamedTuple):
    """Send the call's request; answered with the response, its body unread."""


class Read(NamedTuple):
    """Read the whole body and close the response; answered with a `Body`.

    Attributes:
        response: Whose body.
        seconds: How long that may take altogether; None for ever.
    """

    response: httpx.Response
    seconds: float | None


class Sleep(NamedTuple):
    """Wait; answered with None."""

    seconds: float


class Body(NamedTuple):
    """A body, as far as it came.

    Attributes:
        data: The bytes, decompressed.
        error: Why it is not whole; None if it is.
    """

    data: bytes
    error: Exception | None = None


Effect: TypeAlias = Send | Read | Sleep


class Call(NamedTuple, Generic[AnswerT]):
    """One call.

    Attributes:
        request: The HTTP request.
        parse: Validates the body of a success and makes the answer of it.
        policy: When to send again.
        watch: Times the call; its read timeout is also that for a whole body to arrive after its headers.
        random: Source of the jitter: a number between 0 and 1.
        now: Seconds since 1970, for dates in `Retry-After`.
    """

    request: httpx.Request
    parse: Callable[[bytes], AnswerT]
    policy: RetryPolicy
    watch: Watch
    random: Callable[[], float] = random.random
    now: Callable[[], float] = time.time


Exchange: TypeAlias = Generator[Effect, Any, T]


def exchange(call: Call[AnswerT]) -> Exchange[AnswerT]:
    """Run one call to its answer, the parsed body.

    Raises:
        APIError: Whatever went wrong, as the class that says what.
    """
    response, attempts = yield from _respond(call)
    body: Body = yield Read(response, _seconds(call))
    if body.error is not None:
        raise read_error(body.error, response, body.data, call.watch, attempts) from body.error
    try:
        answer = call.parse(body.data)
    except (ValidationError, RecursionError) as error:
        call.watch.distrusted = True  # the rest of it may be still to come
        raise unexpected_answer(response, body.data, _misfit(error), attempts) from error
    set_headers(answer, response.headers)
    return answer


def exchange_stream(call: Call[Any]) -> Exchange[httpx.Response]:
    """Run one call to the response that streams its answer, the body unread.

    Raises:
        APIError: Whatever went wrong, as the class that says what.
    """
    response, attempts = yield from _respond(call)
    if is_event_stream(response):
        return response
    body: Body = yield Read(response, _seconds(call))
    if body.error is not None:
        raise read_error(body.error, response, body.data, call.watch, attempts) from body.error
    call.watch.distrusted = True
    raise unexpected_answer(response, body.data, "an event stream was asked for", attempts)


def _respond(call: Call[Any]) -> Exchange[tuple[httpx.Response, int]]:
    """Send until there is a response with a success status; returns it and how often was sent."""
    retries = 0
    while True:
        cause: BaseException | None = None
        try:
            response: httpx.Response = yield Send()
        except SEND_ERRORS as error:
            failure: APIError = connection_error(error, call.request, call.watch)
            again, cause = _retry.retries_exception(call.policy, error), error
        else:
            if 200 <= response.status_code < 300:  # 246 among them: guardrails failed, the request was let through
                return response, retries + 1
            body: Body = yield Read(response, _seconds(call, ERROR_BODY_SECONDS))
            again = _retry.retries_status(call.policy, response.status_code, response.headers)
            cause = body.error
            failure = status_error(response, body)
            failure.retry_after = _retry.retry_after_seconds(response.headers, call.now())
        failure.attempts = retries + 1
        wait = _retry.delay(retries, failure.retry_after, call.random())
        left = call.watch.left()
        # Where there is no time for the wait, this failure says more than that the time was over.
        if not again or retries >= call.policy.max_retries or (left is not None and wait >= left):
            try:
                raise failure from cause
            finally:
                del failure, cause  # as in the driver: its traceback holds this frame
        yield Sleep(wait)
        retries += 1


def is_event_stream(response: httpx.Response) -> bool:
    """Whether a body may hold events: any type but those that say what else they are."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code != 204 and not kind.endswith(("json", "html", "xml"))


def _misfit(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    issue = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, issue["loc"]))
    return f"{where}: {issue['msg']}" if where else issue["msg"]


def unexpected_answer(response: httpx.Response, data: bytes, problem: str, attempts: int) -> APIResponseValidationError:
    """The error for an answer with a success status that is none."""
    content = decode_body(data)
    kind = response.headers.get("content-type") or "no content type"
    error = APIResponseValidationError(with_body(response, data), content)
    reported = isinstance(content, Mapping) and content.get("error") is not None
    if reported or (isinstance(content, Mapping) and content.get("status") == "failure"):
        head = f"Error code: {response.status_code}"
        error.message = describe(head, content, error.gateway)
    else:
        shown = f"got {len(data):,} bytes of {kind}" if data else f"got an empty body ({kind})"
        head = f"Error code: {response.status_code} - the answer is not what was asked for: {problem}; {shown}"
        error.message = f"{head}: {excerpt(_text(data))}" if data else head
        if facts := str(error.gateway):
            error.message += f" ({facts})"
    error.args = (error.message,)
    error.attempts = attempts
    return error


def status_error(response: httpx.Response, body: Body) -> APIStatusError:
    """The error for an answer with an error status, whatever of its body came."""
    status = response.status_code
    content = decode_body(body.data)
    cls = status_error_class(status)
    error = cls("", response=with_body(response, body.data), body=content)
    head = f"Error code: {status}"
    if cls is RedirectError:
        location = response.headers.get("location")
        head += f" - redirects are not followed; Location: {location or 'none given'}"
    elif content in (None, ""):
        head += " - the body of the answer is empty"
    error.message = describe(head, content, error.gateway)
    if status == 404 and not any(name in response.headers for name in _retry.GATEWAY_HEADERS):
        # Most often a base URL without its /v1, which only the URL shows.
        error.message += f" ({response.request.method} {response.request.url.copy_with(query=None)})"
    if body.error is not None:
        error.message += f" (the body of the answer did not come whole: {body.error})"
    error.args = (error.message,)
    if error.type is None and (kind := response.headers.get("x-amzn-errortype")):
        error.type = kind.partition(":")[0]  # Bedrock names the class of an error in this header only
    return error


def connection_error(error: Exception, request: httpx.Request, watch: Watch) -> APIConnectionError:
    """The error for an exception raised while sending or reading; `error` is to be its cause."""
    if isinstance(error, httpx.RequestError):
        error.request = request  # also where it was raised by a stream, which knows of none
    reason = _reason(error)
    url = f"{request.method} {request.url.copy_with(query=None)}"
    match error:
        case httpx.PoolTimeout():
            text = f"No connection became free in time for {url}: all of this client's are in use here, by other calls"
            return PoolTimeoutError(message=text, request=request)
        case httpx.TimeoutException() | TimeoutError():
            phase = _PHASES.get(type(error), "read")
            return APITimeoutError(message=f"Request timed out ({watch.exceeded(phase)}): {url}", request=request)
        case _ if _retry.is_tls_failure(error):
            return TLSError(message=f"TLS connection failed: {url}: {reason}", request=request)
        case _ if any(isinstance(cause, socket.gaierror) for cause in _retry.causes(error)):
            return NameResolutionError(message=f"The host has no address: {url}: {reason}", request=request)
    if watch.asked and watch.reused and not watch.received:
        reason += " (on a reused connection, which the other side may have closed as idle)"
    return APIConnectionError(message=f"Connection error: {url}: {reason}", request=request)


def read_error(error: Exception, response: httpx.Response, data: bytes, watch: Watch, attempts: int) -> APIError:
    """The error for a body with a success status that did not come whole; `error` is to be its cause."""
    request = response.request
    head = f"Error code: {response.status_code}"
    if isinstance(error, BodyError):
        message = f"{head} - {error}: {request.method} {request.url.copy_with(query=None)}"
        failure: APIError = APIResponseValidationError(with_body(response, data), None, message=message)
    else:
        failure = connection_error(error, request, watch)
        failure.gateway = GatewayInfo.from_headers(response.headers)
        facts = str(failure.gateway)
        failure.message = f"{head} - the answer broke off after {len(data):,} bytes: {failure.message}"
        failure.message += f" ({facts})" if facts else ""
        failure.args = (failure.message,)
    failure.attempts = attempts
    return failure


def decode_body(data: bytes) -> object:
    """A body as JSON, as text where it is none, None where it is empty."""
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _text(data)


def with_body(response: httpx.Response, data: bytes) -> httpx.Response:
    """The response with its body, decompressed, so that `.json()` and `.text` work for whoever catches an error."""
    headers = [
        (name, value)
        for name, value in response.headers.raw
        if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
    ]
    return httpx.Response(response.status_code, headers=headers, content=data, request=response.request)


def _text(data: bytes) -> str:
    return data[: 64 * 1024].decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    """The innermost words about a failure: outer exceptions often have none."""
    texts: Iterator[str] = (str(cause) for cause in _retry.causes(error))
    return next((text for text in texts if text), type(error).__name__)


def _seconds(call: Call[Any], limit: float | None = None) -> float | None:
    """How long reading a body may take: the read timeout, what is left of the call, and `limit`."""
    limits = [seconds for seconds in (call.watch.timeouts["read"], call.watch.left(), limit) if seconds is not None]
    return min(limits, default=None)
