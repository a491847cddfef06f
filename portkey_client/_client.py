"""`Portkey` and `AsyncPortkey`: what the user holds. They keep the options, and put core, driver and httpx together."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeVar, Unpack

import httpx

from ._achat import AsyncChatCompletion
from ._call import (
    COMPLETIONS_PATH,
    CallOptions,
    RetryOption,
    TimeoutOption,
    merged_headers,
    timeouts_of,
)
from ._chat import ChatCompletion
from ._clock import CLOCK_EXTENSION
from ._drive import adrive, drive
from ._exchange import Call, exchange, exchange_stream
from ._http import OwnAsyncClient, OwnClient
from ._request import encode_body, encode_query, is_given
from ._retry import RetryPolicy
from ._streams import AsyncStream, Stream, astream, stream
from ._timeout import DEFAULT_TIMEOUT, deadlines_of
from ._watch import Watch
from .errors import ConfigurationError
from .headers import HEADER_OPTIONS, UNUSED_OPTIONS, ClientOptions, encode_options, sdk_headers, warn_of_options
from .types import NOT_GIVEN, Answer, ChatCompletionChunk, ChatCompletions, NotGiven

PORTKEY_GATEWAY_URL: Final = "https://api.portkey.ai/v1"
PORTKEY_BASE_URL: Final = PORTKEY_GATEWAY_URL
LOCAL_GATEWAY_URL: Final = "http://localhost:8787/v1"
"""Where a gateway started on this machine listens."""

AnswerT = TypeVar("AnswerT", bound=Answer)
HttpT = TypeVar("HttpT", httpx.Client, httpx.AsyncClient)
"""What `http_client=` takes."""

_REAL_OPTIONS: Final = ("api_key", "base_url", "http_client", "timeout", "max_retries")
_NO_AUTH: Final = httpx.Auth()
_HTTPX_DEFAULT_TIMEOUT: Final = httpx.Timeout(5.0)
_ELSEWHERE: Final = frozenset({
    "admin", "analytics", "api_keys", "audio", "batches", "collections", "completions", "configs", "containers",
    "conversations", "delete", "embeddings", "evals", "feedback", "files", "fine_tuning", "generations", "get",
    "guardrails", "images", "integrations", "labels", "logs", "mcp_integrations", "mcp_servers", "models",
    "moderations", "openai_client", "post", "prompts", "providers", "put", "realtime", "responses", "skills",
    "uploads", "vector_stores", "videos", "virtual_keys", "webhooks",
})  # fmt: skip
"""What portkey_ai's client has beside chat completions."""


class HTTPX2Client(Protocol):
    """An `httpx2.Client`, as far as it matters here; this package does not import it."""

    @property
    def is_closed(self) -> bool: ...
    @property
    def build_request(self) -> Callable[..., Any]: ...
    @property
    def send(self) -> Callable[..., Any]: ...
    def close(self) -> None: ...


class HTTPX2AsyncClient(Protocol):
    """An `httpx2.AsyncClient` likewise."""

    @property
    def is_closed(self) -> bool: ...
    @property
    def build_request(self) -> Callable[..., Any]: ...
    @property
    def send(self) -> Callable[..., Any]: ...
    def aclose(self) -> Awaitable[None]: ...


class _Client(Generic[HttpT]):
    """What both clients share: reading the options, and building requests from them.

    Attributes:
        api_key: The Portkey API key in use.
        base_url: The gateway's URL, without a slash at its end.
        timeout: Of calls that set none.
        max_retries: Of calls that set none.
        options: The request headers' options, as given.
        custom_headers: The request headers that they became.
    """

    _http_class: ClassVar[type[httpx.Client | httpx.AsyncClient]]
    _tracing: ClassVar[str]

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | httpx.URL | None,
        http_client: HttpT | None,
        timeout: TimeoutOption,
        max_retries: RetryOption,
        options: Mapping[str, Any],
    ) -> None:
        if api_key is not None and not isinstance(api_key, str):
            raise ConfigurationError(f"api_key= must be a str, got {type(api_key).__name__}")
        warn_of_options(options, _REAL_OPTIONS, stacklevel=3)
        self.api_key = api_key or os.environ.get("PORTKEY_API_KEY") or None
        self._completions_url = _completions_url(base_url, self.api_key)
        self.base_url = str(self._completions_url).removesuffix(COMPLETIONS_PATH)
        self.timeout = _default_timeout(http_client) if isinstance(timeout, NotGiven) else timeout
        self.max_retries = RetryPolicy() if isinstance(max_retries, NotGiven) else RetryPolicy.of(max_retries)
        self.options: Mapping[str, Any] = {"strict_open_ai_compliance": False, **options}
        self._timeouts, self._deadlines = timeouts_of(self.timeout), deadlines_of(self.timeout)
        sent = {name: value for name, value in self.options.items() if name not in UNUSED_OPTIONS}
        headers = self.custom_headers = encode_options({"api_key": self.api_key, **sent})
        host = self._completions_url.netloc.decode("ascii")
        self._headers = httpx.Headers({"Host": host, **sdk_headers(), **headers})
        self._with_theirs: tuple[list[tuple[bytes, bytes]], httpx.Headers] = ([], self._headers)
        self._owns_http = http_client is None
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        # The declared options are readable as attributes, given or not.
        if name in HEADER_OPTIONS or name in UNUSED_OPTIONS:
            return self.__dict__.get("options", {}).get(name)
        hint = ""
        if name in _ELSEWHERE:
            hint = (
                ": portkey_client has chat completions only; keep portkey_ai beside it for the rest, "
                "or an OpenAI client with default_headers=create_headers(...)"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request, by their names in lower case."""
        return {name: value for name, value in self._headers.items() if name != "host"}

    @property
    def allHeaders(self) -> dict[str, str]:  # noqa: N802  # portkey_ai's name
        """As `headers`."""
        return self.headers

    @property
    def beta(self) -> Self:
        """This client: portkey_ai has `parse` and `stream` at `client.beta.chat.completions`, too."""
        return self

    def is_closed(self) -> bool:
        """Whether the client has been closed."""
        return self._closed

    def _call(
        self,
        http: OwnClient | OwnAsyncClient | HttpT,
        method: str,
        path: str,
        parse: Callable[[bytes], AnswerT],
        *,
        body: Mapping[str, Any] | None,
        options: CallOptions,
        streamed: bool = False,
    ) -> Call[AnswerT]:
        """Everything about one call, checked, with its request ready to be sent."""
        if self._closed or http.is_closed:
            raise ConfigurationError(f"this {type(self).__name__} has been closed, or its connections have")
        timeouts, deadlines = self._timeouts, self._deadlines
        if not isinstance(options.timeout, NotGiven):
            timeouts, deadlines = timeouts_of(options.timeout), deadlines_of(options.timeout)
        watch = Watch(timeouts, total=deadlines["total"], first_token=deadlines["first_token"] if streamed else None)
        policy = self.max_retries if isinstance(options.max_retries, NotGiven) else RetryPolicy.of(options.max_retries)
        base = self._headers
        url = self._completions_url if path == COMPLETIONS_PATH else httpx.URL(self.base_url + path)
        if options.extra_query:
            url = url.copy_with(query=encode_query(options.extra_query).encode())
        cookies = None
        if not isinstance(http, (OwnClient, OwnAsyncClient)):
            # A client made by the user has headers, parameters and cookies of its own; ours win where both name one.
            url = url.copy_with(params=http.params.merge(url.params)) if http.params else url
            base = self._over(http.headers)
            cookies = http.cookies
        content = b"" if body is None else encode_body(body)
        # `content=` would build the headers a second time.
        request = httpx.Request(
            method,
            url,
            headers=merged_headers(base, options.extra_headers),
            cookies=cookies,
            stream=httpx.ByteStream(content),
            extensions={CLOCK_EXTENSION: watch, "trace": getattr(watch, self._tracing)},
        )
        if body is not None:
            request.headers["Content-Length"] = str(len(content))
        else:
            request.headers.pop("Content-Type", None)
        request.read()  # so that transports and hooks find `request.content`
        return Call(request, parse, policy, watch)

    def _over(self, theirs: httpx.Headers) -> httpx.Headers:
        """Their headers and ours, ours where both have a name. Kept until they change: httpx takes long to merge."""
        pairs = theirs.raw
        merged_for, merged = self._with_theirs
        if pairs != merged_for:
            ours = self._headers.raw
            names = {name.lower() for name, _ in ours}
            merged = httpx.Headers([(name, value) for name, value in pairs if name.lower() not in names] + ours)
            self._with_theirs = (pairs, merged)
        return merged

    def _auth(self, http: object) -> httpx.Auth | None:
        """Credentials for httpx: none with our own client, the user's with theirs."""
        return _NO_AUTH if isinstance(http, (OwnClient, OwnAsyncClient)) else None

    def _usable(self, http_client: Any) -> Any:
        """What `http_client=` gave, as a client of httpx.

        Raises:
            ConfigurationError: It is something else.
        """
        kind = self._http_class.__name__
        if http_client is None or isinstance(http_client, (self._http_class, OwnClient, OwnAsyncClient)):
            return http_client
        httpx2 = sys.modules.get("httpx2")
        if httpx2 is not None and isinstance(http_client, getattr(httpx2, kind)):
            from . import _httpx2  # few programs need it

            return (_httpx2.BridgedClient if kind == "Client" else _httpx2.BridgedAsyncClient)(http_client)
        given = type(http_client)
        raise ConfigurationError(
            f"http_client= of {type(self).__name__} must be an httpx.{kind} or an httpx2.{kind}, "
            f"got {given.__module__.partition('.')[0]}.{given.__qualname__}"
        )

    def _options_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments for a copy with some of them replaced; None unsets an option."""
        kept: dict[str, Any] = {
            "api_key": self.api_key,
            "base_url": self.base_url,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            **self.options,
        }
        return kept | {name: value for name, value in options.items() if is_given(value)}


class Portkey(_Client[httpx.Client]):
    """A client of Portkey's gateway.

    Keywords that are declared nowhere become `x-portkey-` headers, as in portkey_ai, with a warning where one looks
    like a typo. One instance serves any number of threads.

    Args:
        api_key: Portkey API key; the variable `PORTKEY_API_KEY` where it is not given.
        base_url: URL of the gateway; else the variable `PORTKEY_PROXY`; else Portkey's own if there is a key,
            else that of a gateway on this machine.
        http_client: An `httpx.Client` or `httpx2.Client` to send with, with its own headers, params, cookies and
            transports; it stays its owner's to close.
        timeout: Seconds to wait for a connection and for each piece of an answer, or a `Timeout`, which can also bound
            the whole; None is for ever. Without it 5 seconds for a connection and 600 for an answer.
        max_retries: How often a call that never reached the gateway is sent again, or a `RetryPolicy`; 1 without it.
        options: What becomes a request header, see `HEADER_OPTIONS`.

    Raises:
        ConfigurationError: An argument that cannot be meant.
    """

    _http_class = httpx.Client
    _tracing = "trace"

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | httpx.URL | None = None,
        http_client: httpx.Client | HTTPX2Client | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **options: Unpack[ClientOptions],
    ) -> None:
        http = self._usable(http_client)
        super().__init__(
            api_key=api_key,
            base_url=base_url,
            http_client=http,
            timeout=timeout,
            max_retries=max_retries,
            options=options,
        )
        self._http: httpx.Client | OwnClient = http or OwnClient()
        self.chat = ChatCompletion(self)

    def copy(
        self,
        *,
        api_key: str | NotGiven | None = NOT_GIVEN,
        base_url: str | httpx.URL | NotGiven | None = NOT_GIVEN,
        http_client: httpx.Client | HTTPX2Client | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **options: Unpack[ClientOptions],
    ) -> Self:
        """A client with some options replaced, on the same connections; None unsets an option."""
        changed = {"api_key": api_key, "base_url": base_url, "timeout": timeout, "max_retries": max_retries, **options}
        http: Any = self._http if isinstance(http_client, NotGiven) else http_client  # shared, with its connections
        return type(self)(http_client=http, **self._options_with(changed))

    with_options = copy

    def close(self) -> None:
        """Close the connections, unless `http_client=` brought them; calls fail from now on. Harmless if repeated."""
        self._closed = True
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def request(
        self,
        method: str,
        path: str,
        parse: Callable[[bytes], AnswerT],
        body: Mapping[str, Any] | None,
        options: CallOptions,
    ) -> AnswerT:
        """Make one call and return its answer, as `parse` makes it of the body."""
        call = self._call(self._http, method, path, parse, body=body, options=options)
        return drive(exchange(call), self._http, call, self._auth(self._http))

    def open_stream(self, body: Mapping[str, Any], options: CallOptions) -> Stream[ChatCompletionChunk]:
        """Ask for a completion in chunks."""
        parse = ChatCompletions.model_validate_json
        call = self._call(self._http, "POST", COMPLETIONS_PATH, parse, body=body, options=options, streamed=True)
        return stream(drive(exchange_stream(call), self._http, call, self._auth(self._http)), call.watch)


class AsyncPortkey(_Client[httpx.AsyncClient]):
    """A client of Portkey's gateway for asyncio and trio; see `Portkey` for the options."""

    _http_class = httpx.AsyncClient
    _tracing = "atrace"

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | httpx.URL | None = None,
        http_client: httpx.AsyncClient | HTTPX2AsyncClient | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **options: Unpack[ClientOptions],
    ) -> None:
        http = self._usable(http_client)
        super().__init__(
            api_key=api_key,
            base_url=base_url,
            http_client=http,
            timeout=timeout,
            max_retries=max_retries,
            options=options,
        )
        self._http: httpx.AsyncClient | OwnAsyncClient = http or OwnAsyncClient()
        self.chat = AsyncChatCompletion(self)

    def copy(
        self,
        *,
        api_key: str | NotGiven | None = NOT_GIVEN,
        base_url: str | httpx.URL | NotGiven | None = NOT_GIVEN,
        http_client: httpx.AsyncClient | HTTPX2AsyncClient | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **options: Unpack[ClientOptions],
    ) -> Self:
        """A client with some options replaced, on the same connections; None unsets an option."""
        changed = {"api_key": api_key, "base_url": base_url, "timeout": timeout, "max_retries": max_retries, **options}
        http: Any = self._http if isinstance(http_client, NotGiven) else http_client  # shared, with its connections
        return type(self)(http_client=http, **self._options_with(changed))

    with_options = copy

    async def close(self) -> None:
        """Close the connections, unless `http_client=` brought them; calls fail from now on. Harmless if repeated."""
        self._closed = True
        if self._owns_http:
            await self._http.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        path: str,
        parse: Callable[[bytes], AnswerT],
        body: Mapping[str, Any] | None,
        options: CallOptions,
    ) -> AnswerT:
        """Make one call and return its answer, as `parse` makes it of the body."""
        call = self._call(self._http, method, path, parse, body=body, options=options)
        return await adrive(exchange(call), self._http, call, self._auth(self._http))

    async def open_stream(self, body: Mapping[str, Any], options: CallOptions) -> AsyncStream[ChatCompletionChunk]:
        """Ask for a completion in chunks."""
        parse = ChatCompletions.model_validate_json
        call = self._call(self._http, "POST", COMPLETIONS_PATH, parse, body=body, options=options, streamed=True)
        return astream(await adrive(exchange_stream(call), self._http, call, self._auth(self._http)), call.watch)


def _completions_url(base_url: object, api_key: str | None) -> httpx.URL:
    """Where completions are: below `base_url`, else the variable PORTKEY_PROXY, else by whether there is a key."""
    source = "base_url="
    if base_url is None:
        source = "the variable PORTKEY_PROXY"
        base_url = os.environ.get("PORTKEY_PROXY") or (PORTKEY_GATEWAY_URL if api_key else LOCAL_GATEWAY_URL)
    if not isinstance(base_url, str | httpx.URL):
        raise ConfigurationError(f"{source} must be an http or https URL, got {type(base_url).__name__} {base_url!r}")
    text = str(base_url).rstrip("/")
    try:
        url = httpx.URL(text + COMPLETIONS_PATH)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{source} must be an http or https URL, got {text!r}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host or not url.path.endswith(COMPLETIONS_PATH):
        raise ConfigurationError(f"{source} must be an http or https URL without a query, got {text!r}")
    if text == PORTKEY_GATEWAY_URL and not api_key:
        raise ConfigurationError(
            "api_key= is needed for Portkey's own gateway: pass it or set the variable PORTKEY_API_KEY"
        )
    return url


def _default_timeout(http: object) -> httpx.Timeout:
    """The timeout of a `http_client=` if somebody chose it, else our own."""
    if isinstance(http, httpx.Client | httpx.AsyncClient) and http.timeout != _HTTPX_DEFAULT_TIMEOUT:
        return http.timeout
    return DEFAULT_TIMEOUT
