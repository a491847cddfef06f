"""Everything that can go wrong, in one tree.

```text
PortkeyError
├── ConfigurationError                   an argument that cannot be meant (also a ValueError); nothing was sent
│   ├── ConfigError                      a gateway `Config` that the gateway would not take
│   └── InvalidRequestError              parameters of one call that cannot be sent
├── APIError                             a call that failed; carries `.gateway`, `.request`, `.body`, `.partial`
│   ├── APIConnectionError               no answer, or not the whole of it
│   │   ├── NameResolutionError          the host has no address
│   │   ├── TLSError                     certificate or handshake; never retried
│   │   ├── PoolTimeoutError             no free connection in this process; not the provider's fault
│   │   └── APITimeoutError              the answer took longer than we were willing to wait
│   ├── APIResponseValidationError       an answer that is not what was asked for: HTML, empty, broken JSON, wrong shape
│   ├── APIStatusError                   an answer with an error status; carries `.response`, `.status_code`
│   │   ├── RedirectError                3xx: never followed, a redirect would carry credentials elsewhere
│   │   ├── BadRequestError              400
│   │   ├── AuthenticationError          401
│   │   ├── PermissionDeniedError        403
│   │   ├── NotFoundError                404
│   │   ├── GatewayTimeoutError          408: the gateway gave up waiting for the provider (also an APITimeoutError)
│   │   ├── ConflictError                409
│   │   ├── UnprocessableEntityError     422
│   │   ├── RateLimitError               429
│   │   ├── GuardrailError               446: a guardrail refused; carries `.hook_results`
│   │   └── InternalServerError          500 and above
│   ├── StreamError                      an error reported inside a stream, or a finish reason that is one
│   └── IncompleteStreamError            a stream that ended before the answer did; `.partial` is what had arrived
│       ├── StreamConnectionError        because the connection broke (also an APIConnectionError)
│       └── StreamTimeoutError           because nothing came for too long (also an APITimeoutError)
├── LengthFinishReasonError              structured output was cut by a token limit
└── ContentFilterFinishReasonError       structured output was withheld by a content filter
```

The names and attributes of the status errors are those of the OpenAI SDK, which `portkey_ai` raises too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ._gateway import GatewayInfo, gateway_headers

if TYPE_CHECKING:
    import httpx

    from .types import ChatCompletions

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ConfigurationError",
    "ConflictError",
    "ContentFilterFinishReasonError",
    "GatewayTimeoutError",
    "GuardrailError",
    "IncompleteStreamError",
    "InternalServerError",
    "InvalidRequestError",
    "LengthFinishReasonError",
    "NameResolutionError",
    "NotFoundError",
    "PermissionDeniedError",
    "PoolTimeoutError",
    "PortkeyError",
    "RateLimitError",
    "RedirectError",
    "StreamConnectionError",
    "StreamError",
    "StreamTimeoutError",
    "TLSError",
    "UnprocessableEntityError",
]

EXCERPT_LENGTH: Final = 2_000
"""Characters of a body that an error text shows at most."""


class PortkeyError(Exception):
    """Whatever this package raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from `args` alone, which does not fit constructors with keywords.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[PortkeyError], args: tuple[Any, ...], state: dict[str, Any]) -> PortkeyError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(PortkeyError, ValueError):
    """An argument that cannot be meant; the text names it, what was expected and what came."""


class ConfigError(ConfigurationError):
    """A gateway config that the gateway would not take.

    Attributes:
        path: Where in the config, such as `targets[1].strategy.mode`.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class InvalidRequestError(ConfigurationError):
    """Parameters of one call that cannot be sent.

    Attributes:
        param: The parameter, such as `messages[0].content`.
    """

    def __init__(self, message: str, *, param: str = "") -> None:
        super().__init__(message)
        self.param = param


class APIError(PortkeyError):
    """A call that failed.

    Attributes:
        message: What happened, in one text; the same as `str(error)`.
        request: The request as sent; None where none was built.
        body: The `error` object of the answer, or its whole body where there is none; None without an answer.
        code: The provider's error code, as text.
        type: The provider's error type, such as `insufficient_quota`.
        param: The parameter the provider complains about.
        gateway: What the gateway said about the answer.
        hook_results: The guardrails' verdicts, where the answer had any.
        retry_after: Seconds the server asked to wait; None if it did not say.
        attempts: How often the request was sent.
    """

    _partial: ChatCompletions | None = None

    def __init__(
        self,
        message: str,
        request: httpx.Request | None = None,
        *,
        body: object = None,
        gateway: GatewayInfo | None = None,
    ) -> None:
        self.message = message
        self.request = request
        self.body = error_object(body)
        facts = error_facts(body)
        self.code = facts.get("code")
        self.type = facts.get("type")
        self.param = facts.get("param")
        self.gateway = gateway or GatewayInfo()
        if self.gateway.provider is None and isinstance(body, Mapping) and isinstance(body.get("provider"), str):
            self.gateway = self.gateway._replace(provider=body["provider"])  # the gateway's own error bodies name it
        self.hook_results: Any = body.get("hook_results") if isinstance(body, Mapping) else None
        self.retry_after: float | None = None
        self.attempts = 1
        super().__init__(message)

    @property
    def partial(self) -> ChatCompletions | None:
        """What had arrived of a streamed answer; None outside of streams."""
        return self._partial

    def keep_partial(self, partial: ChatCompletions) -> None:
        """Remember what had arrived of a streamed answer."""
        self._partial = partial

    def get_headers(self) -> dict[str, str]:
        """The gateway's own headers of the answer, without their `x-portkey-` prefix."""
        return {}


class APIConnectionError(APIError):
    """No answer, or not the whole of it; `__cause__` is the exception of the HTTP library."""

    def __init__(
        self,
        *,
        message: str = "Connection error.",
        request: httpx.Request | None = None,
        gateway: GatewayInfo | None = None,
    ) -> None:
        super().__init__(message, request, gateway=gateway)


class NameResolutionError(APIConnectionError):
    """The host has no address."""


class TLSError(APIConnectionError):
    """The certificate or the handshake failed; trying again would not help, so it is not done."""


class PoolTimeoutError(APIConnectionError):
    """No connection of this client became free in time: too many open calls here, not a slow provider."""


class APITimeoutError(APIConnectionError):
    """The answer took longer than the timeouts of this call allow."""

    def __init__(
        self,
        request: httpx.Request | None = None,
        *,
        message: str = "Request timed out.",
        gateway: GatewayInfo | None = None,
    ) -> None:
        super().__init__(message=message, request=request, gateway=gateway)


class _AnsweredError(APIError):
    """A failure that has a response."""

    def __init__(self, message: str, *, response: httpx.Response, body: object = None) -> None:
        APIError.__init__(
            self, message, _request_of(response), body=body, gateway=GatewayInfo.from_headers(response.headers)
        )
        self.response = response
        self.status_code: int = response.status_code

    def get_headers(self) -> dict[str, str]:
        """The gateway's own headers of the answer, without their `x-portkey-` prefix."""
        return gateway_headers(self.response.headers)


class APIResponseValidationError(_AnsweredError):
    """The answer is not what was asked for: an HTML page, nothing at all, broken JSON, the wrong shape.

    Attributes:
        response: The response; its body can be read from it.
        status_code: Its HTTP status.
    """

    def __init__(
        self, response: httpx.Response, body: object = None, *, message: str = "The answer is not what was asked for."
    ) -> None:
        super().__init__(message, response=response, body=body)


class APIStatusError(_AnsweredError):
    """The answer has an error status.

    Attributes:
        response: The response; its body, as far as it came, can be read from it.
        status_code: Its HTTP status.
        request_id: The answer's `x-request-id` header.
    """

    def __init__(self, message: str, *, response: httpx.Response, body: object = None) -> None:
        super().__init__(message, response=response, body=body)
        self.request_id: str | None = response.headers.get("x-request-id")


class RedirectError(APIStatusError):
    """3xx. Never followed: a POST would become a GET, or credentials would reach another host."""


class BadRequestError(APIStatusError):
    """400."""


class AuthenticationError(APIStatusError):
    """401."""


class PermissionDeniedError(APIStatusError):
    """403."""


class NotFoundError(APIStatusError):
    """404."""


class GatewayTimeoutError(APIStatusError, APITimeoutError):
    """408: the provider did not answer within the gateway's own `request_timeout`.

    Also an `APITimeoutError`, so that one `except` covers a slow provider whoever noticed it first.
    """


class ConflictError(APIStatusError):
    """409."""


class UnprocessableEntityError(APIStatusError):
    """422."""


class RateLimitError(APIStatusError):
    """429."""


class GuardrailError(APIStatusError):
    """446: a guardrail of the config refused the request or the answer; `hook_results` says which check."""


class InternalServerError(APIStatusError):
    """500 and above."""


class _BrokenStreamError(APIError):
    """A stream that failed on its way, so that there always is a `partial`, if an empty one."""

    @property
    def partial(self) -> ChatCompletions:
        """What had arrived of the answer."""
        from .types import ChatCompletions  # the models are no part of what an error costs at import

        return ChatCompletions(choices=[]) if self._partial is None else self._partial


class StreamError(_BrokenStreamError):
    """An error reported inside a stream, or a finish reason that is one; `partial` is what had arrived."""


class IncompleteStreamError(_BrokenStreamError):
    """A stream ended before the answer did: no `[DONE]`, and no finish reason for some choice.

    The gateway ends a stream that way, without a word, when its provider breaks off. `partial` is what had arrived.
    """


class StreamConnectionError(IncompleteStreamError, APIConnectionError):
    """The connection broke while an answer was streamed; `partial` is what had arrived."""

    def __init__(
        self, message: str, request: httpx.Request | None = None, *, gateway: GatewayInfo | None = None
    ) -> None:
        APIError.__init__(self, message, request, gateway=gateway)


class StreamTimeoutError(IncompleteStreamError, APITimeoutError):
    """Nothing more of a streamed answer came for too long; `partial` is what had arrived."""

    def __init__(
        self, message: str, request: httpx.Request | None = None, *, gateway: GatewayInfo | None = None
    ) -> None:
        APIError.__init__(self, message, request, gateway=gateway)


class _FinishReasonError(PortkeyError):
    def __init__(self, message: str, *, completion: ChatCompletions) -> None:
        super().__init__(message)
        self.completion = completion


class LengthFinishReasonError(_FinishReasonError):
    """Structured output was cut by a token limit, so it cannot be parsed; see `completion`."""


class ContentFilterFinishReasonError(_FinishReasonError):
    """Structured output was withheld by a content filter, so there is nothing to parse; see `completion`."""


STATUS_ERRORS: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: GatewayTimeoutError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    446: GuardrailError,
}


def status_error_class(status: int) -> type[APIStatusError]:
    """The class for an HTTP status; plain `APIStatusError` for those without one of their own."""
    if status >= 500:
        return InternalServerError
    if 300 <= status < 400:
        return RedirectError
    return STATUS_ERRORS.get(status, APIStatusError)


def error_object(body: object) -> object:
    """The `error` member of a body if it has one that says something, else the whole body."""
    if isinstance(body, Mapping):
        error = body.get("error")
        return body if error is None else error
    return body


def error_facts(body: object) -> dict[str, str]:
    """What a body says of itself as text: those of `message`, `type`, `code`, `param` that it has.

    Providers agree on no key. Seen in the wild: `error` as an object (OpenAI, Anthropic) or a text (Together, Ollama),
    a list of one error (Gemini's stream endpoints), flat bodies (Mistral, Cohere, Bedrock, the gateway's own
    validation), `detail` as a text or a list (FastAPI servers), the gateway's `html-message`.
    """
    if isinstance(body, list) and len(body) == 1:
        return error_facts(body[0])
    source = error_object(body)
    if isinstance(source, str):
        return {"message": source} if source.strip() else {}
    if not isinstance(source, Mapping):
        return {}
    facts: dict[str, str] = {}
    for fact, keys in _FACT_KEYS.items():
        for key in keys:
            value = source.get(key)
            if value is not None and value != "":
                facts[fact] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                break
    return facts


_FACT_KEYS: Final = {
    "message": ("message", "detail", "html-message", "Message", "error_message"),
    "type": ("type", "status"),
    "code": ("code",),
    "param": ("param",),
}


def describe(head: str, body: object, gateway: GatewayInfo) -> str:
    """The text of an error: `head`, the provider's own words, its facts and the gateway's.

    Args:
        head: What happened, such as `Error code: 429`.
        body: The decoded body, or its text where it is not JSON; None where there was none.
        gateway: What the gateway said.
    """
    facts = error_facts(body)
    message = facts.pop("message", "")
    if not message and body not in (None, "", b""):
        message = json.dumps(body, ensure_ascii=False, default=repr)
    extras = [f"{name} {value}" for name, value in facts.items()]
    if isinstance(body, Mapping):
        extras += [f"{name}: {_compact(body[name])}" for name in ("errors", "hook_results") if body.get(name)]
    if gateway.provider is None and isinstance(body, Mapping) and isinstance(body.get("provider"), str):
        extras.append(f"provider {body['provider']}")
    extras += [str(gateway)] if str(gateway) else []
    text = f"{head} - {excerpt(message)}" if message else head
    return f"{text} ({', '.join(extras)})" if extras else text


def excerpt(text: str) -> str:
    """The beginning of `text`, marked where something was left out."""
    text = text.strip()
    return text if len(text) <= EXCERPT_LENGTH else f"{text[:EXCERPT_LENGTH]}... ({len(text):,} characters)"


def _compact(value: object) -> str:
    return excerpt(json.dumps(value, ensure_ascii=False, default=repr))


def _request_of(response: httpx.Response) -> httpx.Request | None:
    try:
        return response.request
    except RuntimeError:  # a response made by hand has none
        return None


for _name in __all__:
    # Tracebacks and pickles name the class where users import it from.
    globals()[_name].__module__ = "portkey_client"
