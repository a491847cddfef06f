"""A compact, typed client for the chat completions of Portkey's gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._achat import AsyncChatCompletion, AsyncCompletions
from ._chat import ChatCompletion, Completions
from ._client import PORTKEY_BASE_URL, PORTKEY_GATEWAY_URL, AsyncPortkey, Portkey
from ._gateway import GatewayInfo
from ._messages import AsyncChatCompletionsMessages, ChatCompletionsMessages
from ._retry import RetryPolicy
from ._streams import AsyncStream, Stream
from ._timeout import Timeout
from ._version import VERSION
from .errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ConfigurationError,
    ConflictError,
    ContentFilterFinishReasonError,
    GatewayTimeoutError,
    GuardrailError,
    IncompleteStreamError,
    InternalServerError,
    InvalidRequestError,
    LengthFinishReasonError,
    NameResolutionError,
    NotFoundError,
    PermissionDeniedError,
    PoolTimeoutError,
    PortkeyError,
    RateLimitError,
    RedirectError,
    StreamConnectionError,
    StreamError,
    StreamTimeoutError,
    TLSError,
    UnprocessableEntityError,
)
from .headers import create_headers, createHeaders
from .types import NOT_GIVEN, ChatCompletionChunk, ChatCompletions, NotGiven, ParsedChatCompletion

if TYPE_CHECKING:
    from ._event_streams import AsyncEventStream, EventStream
    from .config import Cache, CircuitBreaker, Condition, Config, Retry, Sticky, Strategy, Target

__version__ = VERSION

__all__ = [
    "NOT_GIVEN",
    "PORTKEY_BASE_URL",
    "PORTKEY_GATEWAY_URL",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncChatCompletion",
    "AsyncChatCompletionsMessages",
    "AsyncCompletions",
    "AsyncEventStream",
    "AsyncPortkey",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "Cache",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletions",
    "ChatCompletionsMessages",
    "CircuitBreaker",
    "Completions",
    "Condition",
    "Config",
    "ConfigError",
    "ConfigurationError",
    "ConflictError",
    "ContentFilterFinishReasonError",
    "EventStream",
    "GatewayInfo",
    "GatewayTimeoutError",
    "GuardrailError",
    "IncompleteStreamError",
    "InternalServerError",
    "InvalidRequestError",
    "LengthFinishReasonError",
    "NameResolutionError",
    "NotFoundError",
    "NotGiven",
    "ParsedChatCompletion",
    "PermissionDeniedError",
    "PoolTimeoutError",
    "Portkey",
    "PortkeyError",
    "RateLimitError",
    "RedirectError",
    "Retry",
    "RetryPolicy",
    "Sticky",
    "Strategy",
    "Stream",
    "StreamConnectionError",
    "StreamError",
    "StreamTimeoutError",
    "TLSError",
    "Target",
    "Timeout",
    "UnprocessableEntityError",
    "__version__",
    "createHeaders",
    "create_headers",
]


# Models that many programs do without, and that would take a fifth of the import.
_LAZY = {
    "AsyncEventStream": "_event_streams",
    "Cache": "config",
    "CircuitBreaker": "config",
    "Condition": "config",
    "Config": "config",
    "EventStream": "_event_streams",
    "Retry": "config",
    "Sticky": "config",
    "Strategy": "config",
    "Target": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
