"""`client.chat.completions` for `await`: what `_chat` says, method by method; a test compares their signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from pydantic import BaseModel

from ._call import (
    COMPLETIONS_PATH,
    CallKeywords,
    CallOptions,
    Message,
    RetryOption,
    TimeoutOption,
    call_options,
    completion_path,
    next_page,
    update_body,
)
from ._messages import AsyncChatCompletionsMessages
from ._parse import FormatT, parsed_completion, read_format
from ._request import chat_body
from ._streams import AsyncStream
from .types import (
    NOT_GIVEN,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionList,
    ChatCompletions,
    NotGiven,
    ParsedChatCompletion,
)

if TYPE_CHECKING:
    from ._client import AsyncPortkey
    from ._event_streams import AsyncEventStream


class AsyncChatCompletion:
    """`client.chat`, for `await`."""

    def __init__(self, client: AsyncPortkey) -> None:
        self.completions = AsyncCompletions(client)


class AsyncCompletions:
    """`client.chat.completions`, for `await`; `messages` are those of stored completions."""

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
        """Create a chat completion, see `Completions.create`; a stream is awaited first, then looped over."""
        named = {
            "messages": messages, "model": model, "audio": audio, "max_completion_tokens": max_completion_tokens,
            "max_tokens": max_tokens, "metadata": metadata, "modalities": modalities, "prediction": prediction,
            "reasoning_effort": reasoning_effort, "store": store, "stream": stream, "temperature": temperature,
            "top_p": top_p,
        }  # fmt: skip
        body = chat_body(named, extra_body, params)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        if body.get("stream") is True:
            return await self._client.open_stream(body, options)
        return await self._client.request("POST", COMPLETIONS_PATH, ChatCompletions.model_validate_json, body, options)

    @overload
    async def parse(
        self,
        *,
        messages: Iterable[Message],
        response_format: type[FormatT],
        model: str = "portkey-default",
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ParsedChatCompletion[FormatT]: ...

    @overload
    async def parse(
        self,
        *,
        messages: Iterable[Message],
        response_format: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        model: str = "portkey-default",
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ParsedChatCompletion[BaseModel]: ...

    async def parse(
        self,
        *,
        messages: Iterable[Message],
        response_format: type[FormatT] | Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        model: str = "portkey-default",
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> ParsedChatCompletion[Any]:
        """As `Completions.parse`."""
        kind, wanted = read_format(response_format)
        named = {"messages": messages, "model": model, "response_format": wanted}
        body = chat_body(named, extra_body, params, streamed=False)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        parse = partial(parsed_completion, kind=kind)
        return await self._client.request("POST", COMPLETIONS_PATH, parse, body, options)

    @overload
    def stream(
        self,
        *,
        messages: Iterable[Message],
        response_format: type[FormatT],
        model: str = "portkey-default",
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> AsyncEventStream[FormatT]: ...

    @overload
    def stream(
        self,
        *,
        messages: Iterable[Message],
        response_format: Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        model: str = "portkey-default",
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> AsyncEventStream[BaseModel]: ...

    def stream(
        self,
        *,
        messages: Iterable[Message],
        response_format: type[FormatT] | Mapping[str, Any] | NotGiven | None = NOT_GIVEN,
        model: str = "portkey-default",
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: TimeoutOption = NOT_GIVEN,
        max_retries: RetryOption = NOT_GIVEN,
        **params: Any,
    ) -> AsyncEventStream[Any]:
        """As `Completions.stream`, with `async with` and `async for`, and nothing to await before."""
        from ._event_streams import AsyncEventStream  # few programs stream events

        kind, wanted = read_format(response_format)
        named = {"messages": messages, "model": model, "response_format": wanted, "stream": True}
        body = chat_body(named, extra_body, params, streamed=True)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        return AsyncEventStream(lambda: self._client.open_stream(body, options), kind)

    async def retrieve(self, completion_id: str, **options: Unpack[CallKeywords]) -> ChatCompletions:
        """The stored completion with this id."""
        return await self._client.request(
            "GET", completion_path(completion_id), ChatCompletions.model_validate_json, None, call_options(options)
        )

    async def update(
        self, completion_id: str, *, metadata: Mapping[str, str] | None = None, **options: Unpack[CallKeywords]
    ) -> ChatCompletions:
        """Replace the metadata of a stored completion; None removes it."""
        body = update_body({"metadata": metadata}, options)
        return await self._client.request(
            "POST", completion_path(completion_id), ChatCompletions.model_validate_json, body, call_options(options)
        )

    async def list(
        self,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        model: str | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> ChatCompletionList:
        """One page of stored completions."""
        query = {"after": after, "limit": limit, "metadata": metadata, "model": model, "order": order}
        return await self._client.request(
            "GET", COMPLETIONS_PATH, ChatCompletionList.model_validate_json, None, call_options(options, query)
        )

    async def list_all(
        self,
        *,
        limit: int | NotGiven = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        model: str | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> AsyncIterator[ChatCompletions]:
        """All stored completions, page after page as they are needed; `limit` is the size of a page."""
        after: str | NotGiven = NOT_GIVEN
        while True:
            page = await self.list(after=after, limit=limit, metadata=metadata, model=model, order=order, **options)
            for completion in page.data:
                yield completion
            if (last := next_page(page, after)) is None:
                return
            after = last

    async def delete(self, completion_id: str, **options: Unpack[CallKeywords]) -> ChatCompletionDeleted:
        """Delete a stored completion."""
        return await self._client.request(
            "DELETE",
            completion_path(completion_id),
            ChatCompletionDeleted.model_validate_json,
            None,
            call_options(options),
        )
