"""`client.chat.completions`: the typed surface. No logic; the client runs what is described here.

`_achat` says the same for `await`, method by method; a test compares their signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ._messages import ChatCompletionsMessages
from ._parse import FormatT, parsed_completion, read_format
from ._request import chat_body
from ._streams import Stream
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
    from ._client import Portkey
    from ._event_streams import EventStream


class ChatCompletion:
    """`client.chat`."""

    def __init__(self, client: Portkey) -> None:
        self.completions = Completions(client)


class Completions:
    """`client.chat.completions`; `messages` are those of stored completions."""

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
            timeout: Seconds to wait for a connection and for each piece of the answer, or a `Timeout`, which can also
                bound the whole; None is for ever.
            max_retries: How often this call may be sent again, or a `RetryPolicy`.
            params: Any other body field, sent as given: `tools`, `tool_choice`, `response_format`, `seed`, ...

        Raises:
            InvalidRequestError: Something cannot be sent; nothing was.
            APIError: The call failed.
        """
        named = {
            "messages": messages, "model": model, "audio": audio, "max_completion_tokens": max_completion_tokens,
            "max_tokens": max_tokens, "metadata": metadata, "modalities": modalities, "prediction": prediction,
            "reasoning_effort": reasoning_effort, "store": store, "stream": stream, "temperature": temperature,
            "top_p": top_p,
        }  # fmt: skip
        body = chat_body(named, extra_body, params)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        if body.get("stream") is True:
            return self._client.open_stream(body, options)
        return self._client.request("POST", COMPLETIONS_PATH, ChatCompletions.model_validate_json, body, options)

    @overload
    def parse(
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
    def parse(
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

    def parse(
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
        """Create a chat completion whose text is structured, and parse it.

        Args:
            messages: The conversation.
            response_format: The pydantic class or dataclass that says what is wanted; the answer has an instance in
                `choices[0].message.parsed`, None where the model refused or called a tool. A mapping is sent as it is,
                and nothing is parsed.
            model: The model; the default leaves it to the config.
            extra_headers: As for `create`.
            extra_query: As for `create`.
            extra_body: As for `create`.
            timeout: As for `create`.
            max_retries: As for `create`.
            params: Any other body field, as for `create`.

        Raises:
            InvalidRequestError: Something cannot be sent; nothing was.
            LengthFinishReasonError: A token limit cut the text.
            ContentFilterFinishReasonError: A content filter withheld it.
            APIError: The call failed, or the text is no instance of the class.
        """
        kind, wanted = read_format(response_format)
        named = {"messages": messages, "model": model, "response_format": wanted}
        body = chat_body(named, extra_body, params, streamed=False)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        parse = partial(parsed_completion, kind=kind)
        return self._client.request("POST", COMPLETIONS_PATH, parse, body, options)

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
    ) -> EventStream[FormatT]: ...

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
    ) -> EventStream[BaseModel]: ...

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
    ) -> EventStream[Any]:
        """Create a chat completion as a stream of typed events: what came, what it amounts to, what is complete.

            with client.chat.completions.stream(messages=...) as stream:
                for event in stream:
                    if event.type == "content.delta":
                        print(event.delta, end="")
                answer = stream.get_final_completion()

        Takes what `create` takes. With a class as `response_format` complete texts are parsed as by `parse`.
        """
        from ._event_streams import EventStream  # few programs stream events

        kind, wanted = read_format(response_format)
        named = {"messages": messages, "model": model, "response_format": wanted, "stream": True}
        body = chat_body(named, extra_body, params, streamed=True)
        options = CallOptions(extra_headers, extra_query, timeout, max_retries)
        return EventStream(lambda: self._client.open_stream(body, options), kind)

    def retrieve(self, completion_id: str, **options: Unpack[CallKeywords]) -> ChatCompletions:
        """The stored completion with this id."""
        return self._client.request(
            "GET", completion_path(completion_id), ChatCompletions.model_validate_json, None, call_options(options)
        )

    def update(
        self, completion_id: str, *, metadata: Mapping[str, str] | None = None, **options: Unpack[CallKeywords]
    ) -> ChatCompletions:
        """Replace the metadata of a stored completion; None removes it."""
        body = update_body({"metadata": metadata}, options)
        return self._client.request(
            "POST", completion_path(completion_id), ChatCompletions.model_validate_json, body, call_options(options)
        )

    def list(
        self,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        model: str | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> ChatCompletionList:
        """One page of stored completions.

        Args:
            after: Id of the last completion of the page before.
            limit: Most completions on the page.
            metadata: Only completions with these labels.
            model: Only completions of this model.
            order: By creation time, ascending or descending.
            options: As for `create`.
        """
        query = {"after": after, "limit": limit, "metadata": metadata, "model": model, "order": order}
        return self._client.request(
            "GET", COMPLETIONS_PATH, ChatCompletionList.model_validate_json, None, call_options(options, query)
        )

    def list_all(
        self,
        *,
        limit: int | NotGiven = NOT_GIVEN,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        model: str | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> Iterator[ChatCompletions]:
        """All stored completions, page after page as they are needed; `limit` is the size of a page."""
        after: str | NotGiven = NOT_GIVEN
        while True:
            page = self.list(after=after, limit=limit, metadata=metadata, model=model, order=order, **options)
            yield from page.data
            if (last := next_page(page, after)) is None:
                return
            after = last

    def delete(self, completion_id: str, **options: Unpack[CallKeywords]) -> ChatCompletionDeleted:
        """Delete a stored completion."""
        return self._client.request(
            "DELETE",
            completion_path(completion_id),
            ChatCompletionDeleted.model_validate_json,
            None,
            call_options(options),
        )
