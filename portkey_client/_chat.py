"""`client.chat.completions` and its messages: the typed surface. No logic; the client runs what is described here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from ._call import CallOptions, RetryOption, TimeoutOption
from ._request import chat_body
from ._streams import AsyncStream, Stream
from .types import NOT_GIVEN, ChatCompletionChunk, ChatCompletions, NotGiven

if TYPE_CHECKING:
    from ._client import AsyncPortkey, Portkey

COMPLETIONS_PATH: Final = "/chat/completions"

Message: TypeAlias = Mapping[str, Any] | Any
"""A message: a mapping with a role, or a model such as `answer.choices[0].message`."""


class Completions:
    """Chat completions."""

    def __init__(self, client: Portkey) -> None:
        self._client = client
        self.messages = ChatCompletionsMessages(client)

    @overload
    def create(
        self,
        *,
        messages: Iterable[Message],
        stream: Literal[True],
        model: str = "portkey-default",
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str = "portkey-default",
        stream: Literal[False] | NotGiven | None = NOT_GIVEN,
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ChatCompletions: ...

    @overload
    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str = "portkey-default",
        stream: bool | NotGiven | None = NOT_GIVEN,
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ChatCompletions | Stream[ChatCompletionChunk]: ...

    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str = "portkey-default",
        stream: bool | NotGiven | None = NOT_GIVEN,
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ChatCompletions | Stream[ChatCompletionChunk]:
        """Create a chat completion.

        Parameters that are not named here (`tools`, `tool_choice`, `response_format`, `seed`, `logprobs`, ...) are sent as given.
        None is sent as null; what is left out is not sent.

        Args:
            messages: The conversation: mappings with a role, or messages taken from an answer.
            stream: Whether to get the answer in chunks, as it is made.
            model: The model; the default leaves it to the config.
            temperature: Randomness, from 0 to 2.
            max_tokens: Most tokens to generate.
            top_p: Share of the probability mass to sample from.
            audio: Voice and format of an audio answer.
            max_completion_tokens: Most tokens to generate, reasoning included.
            metadata: Labels kept with a stored completion. (Labels of the gateway's logs are the client's `metadata`.)
            modalities: Kinds of output wanted, such as `["text", "audio"]`.
            prediction: Text that much of the answer is expected to repeat.
            reasoning_effort: How long to think.
            store: Whether the provider keeps the completion.
            extra_headers: Headers of this call; they override the client's, without regard to case.
            extra_query: Query parameters of this call.
            extra_body: Body fields of this call; they override the named parameters.
            timeout: Seconds to wait for a connection and for each piece of the answer, or an `httpx.Timeout`; None is for ever.
            max_retries: How often this call may be sent again, or a `RetryPolicy`.

        Raises:
            InvalidRequestError: Something cannot be sent; nothing was.
            APIError: The call failed.
        """
        named = {
            "model": model, "messages": messages, "stream": stream, "temperature": temperature, "max_tokens": max_tokens,
            "top_p": top_p, "audio": audio, "max_completion_tokens": max_completion_tokens, "metadata": metadata,
            "modalities": modalities, "prediction": prediction, "reasoning_effort": reasoning_effort, "store": store,
        }  # fmt: skip
        body = chat_body(named, extra_body, params)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        if body.get("stream") is True:
            return self._client.open_stream(body, options)
        return self._client.request("POST", COMPLETIONS_PATH, ChatCompletions, body, options)


class AsyncCompletions:
    """Chat completions, for `await`."""

    def __init__(self, client: AsyncPortkey) -> None:
        self._client = client
        self.messages = AsyncChatCompletionsMessages(client)

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Message],
        stream: Literal[True],
        model: str = "portkey-default",
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> AsyncStream[ChatCompletionChunk]: ...

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str = "portkey-default",
        stream: Literal[False] | NotGiven | None = NOT_GIVEN,
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ChatCompletions: ...

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str = "portkey-default",
        stream: bool | NotGiven | None = NOT_GIVEN,
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ChatCompletions | AsyncStream[ChatCompletionChunk]: ...

    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str = "portkey-default",
        stream: bool | NotGiven | None = NOT_GIVEN,
        temperature: float | NotGiven | None = NOT_GIVEN,
        max_tokens: int | NotGiven | None = NOT_GIVEN,
        top_p: float | NotGiven | None = NOT_GIVEN,
        audio: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        max_completion_tokens: int | NotGiven | None = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        modalities: Sequence[str] | NotGiven | None = NOT_GIVEN,
        prediction: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        reasoning_effort: str | NotGiven | None = NOT_GIVEN,
        store: bool | NotGiven | None = NOT_GIVEN,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ChatCompletions | AsyncStream[ChatCompletionChunk]:
        """Create a chat completion; see `Completions.create`. Streams: `async for chunk in await create(..., stream=True)`."""
        named = {
            "model": model, "messages": messages, "stream": stream, "temperature": temperature, "max_tokens": max_tokens,
            "top_p": top_p, "audio": audio, "max_completion_tokens": max_completion_tokens, "metadata": metadata,
            "modalities": modalities, "prediction": prediction, "reasoning_effort": reasoning_effort, "store": store,
        }  # fmt: skip
        body = chat_body(named, extra_body, params)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        if body.get("stream") is True:
            return await self._client.open_stream(body, options)
        return await self._client.request("POST", COMPLETIONS_PATH, ChatCompletions, body, options)


class ChatCompletionsMessages:
    """The messages of stored completions."""

    def __init__(self, client: Portkey) -> None:
        self._client = client


class ChatCompletion:
    """`client.chat`."""

    def __init__(self, client: Portkey) -> None:
        self.completions = Completions(client)


class AsyncChatCompletionsMessages:
    """The messages of stored completions, for `await`."""

    def __init__(self, client: AsyncPortkey) -> None:
        self._client = client


class AsyncChatCompletion:
    """`client.chat`, for `await`."""

    def __init__(self, client: AsyncPortkey) -> None:
        self.completions = AsyncCompletions(client)
