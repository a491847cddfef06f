"""The messages of stored completions, `client.chat.completions.messages`: the typed surface, sync and async.

OpenAI's API has `list` only; the others follow its pattern, for gateways and providers that have them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Literal, Unpack

from ._call import CallKeywords, MessageKeywords, call_options, messages_path, next_page, update_body
from .types import (
    NOT_GIVEN,
    ChatCompletionStoreMessage,
    ChatCompletionStoreMessageDeleted,
    ChatCompletionStoreMessageList,
    NotGiven,
)

if TYPE_CHECKING:
    from ._client import AsyncPortkey, Portkey


class ChatCompletionsMessages:
    """The messages of stored completions."""

    def __init__(self, client: Portkey) -> None:
        self._client = client

    def create(
        self, completion_id: str, *, role: str = "user", content: Any = None, **fields: Unpack[MessageKeywords]
    ) -> ChatCompletionStoreMessage:
        """Add a message to a stored completion."""
        body = update_body({"role": role, "content": content}, fields)
        path = messages_path(completion_id)
        return self._client.request(
            "POST", path, ChatCompletionStoreMessage.model_validate_json, body, call_options(fields)
        )

    def list(
        self,
        completion_id: str,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> ChatCompletionStoreMessageList:
        """One page of the messages of a stored completion; the parameters are those of `Completions.list`."""
        query = {"after": after, "limit": limit, "order": order}
        path = messages_path(completion_id)
        return self._client.request(
            "GET", path, ChatCompletionStoreMessageList.model_validate_json, None, call_options(options, query)
        )

    def list_all(
        self,
        completion_id: str,
        *,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> Iterator[ChatCompletionStoreMessage]:
        """All messages of a stored completion, page after page as they are needed."""
        after: str | NotGiven = NOT_GIVEN
        while True:
            page = self.list(completion_id, after=after, limit=limit, order=order, **options)
            yield from page.data
            if (last := next_page(page, after)) is None:
                return
            after = last

    def retrieve(
        self, completion_id: str, message_id: str, **options: Unpack[CallKeywords]
    ) -> ChatCompletionStoreMessage:
        """One message of a stored completion."""
        path = messages_path(completion_id, message_id)
        return self._client.request(
            "GET", path, ChatCompletionStoreMessage.model_validate_json, None, call_options(options)
        )

    def update(
        self, completion_id: str, message_id: str, *, content: Any = NOT_GIVEN, **fields: Unpack[MessageKeywords]
    ) -> ChatCompletionStoreMessage:
        """Change a message of a stored completion."""
        body = update_body({"content": content}, fields)
        path = messages_path(completion_id, message_id)
        return self._client.request(
            "POST", path, ChatCompletionStoreMessage.model_validate_json, body, call_options(fields)
        )

    def delete(
        self, completion_id: str, message_id: str, **options: Unpack[CallKeywords]
    ) -> ChatCompletionStoreMessageDeleted:
        """Delete a message of a stored completion."""
        path = messages_path(completion_id, message_id)
        return self._client.request(
            "DELETE", path, ChatCompletionStoreMessageDeleted.model_validate_json, None, call_options(options)
        )


class AsyncChatCompletionsMessages:
    """The messages of stored completions, for `await`."""

    def __init__(self, client: AsyncPortkey) -> None:
        self._client = client

    async def create(
        self, completion_id: str, *, role: str = "user", content: Any = None, **fields: Unpack[MessageKeywords]
    ) -> ChatCompletionStoreMessage:
        """Add a message to a stored completion."""
        body = update_body({"role": role, "content": content}, fields)
        path = messages_path(completion_id)
        return await self._client.request(
            "POST", path, ChatCompletionStoreMessage.model_validate_json, body, call_options(fields)
        )

    async def list(
        self,
        completion_id: str,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> ChatCompletionStoreMessageList:
        """One page of the messages of a stored completion; the parameters are those of `Completions.list`."""
        query = {"after": after, "limit": limit, "order": order}
        path = messages_path(completion_id)
        return await self._client.request(
            "GET", path, ChatCompletionStoreMessageList.model_validate_json, None, call_options(options, query)
        )

    async def list_all(
        self,
        completion_id: str,
        *,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[CallKeywords],
    ) -> AsyncIterator[ChatCompletionStoreMessage]:
        """All messages of a stored completion, page after page as they are needed."""
        after: str | NotGiven = NOT_GIVEN
        while True:
            page = await self.list(completion_id, after=after, limit=limit, order=order, **options)
            for message in page.data:
                yield message
            if (last := next_page(page, after)) is None:
                return
            after = last

    async def retrieve(
        self, completion_id: str, message_id: str, **options: Unpack[CallKeywords]
    ) -> ChatCompletionStoreMessage:
        """One message of a stored completion."""
        path = messages_path(completion_id, message_id)
        return await self._client.request(
            "GET", path, ChatCompletionStoreMessage.model_validate_json, None, call_options(options)
        )

    async def update(
        self, completion_id: str, message_id: str, *, content: Any = NOT_GIVEN, **fields: Unpack[MessageKeywords]
    ) -> ChatCompletionStoreMessage:
        """Change a message of a stored completion."""
        body = update_body({"content": content}, fields)
        path = messages_path(completion_id, message_id)
        return await self._client.request(
            "POST", path, ChatCompletionStoreMessage.model_validate_json, body, call_options(fields)
        )

    async def delete(
        self, completion_id: str, message_id: str, **options: Unpack[CallKeywords]
    ) -> ChatCompletionStoreMessageDeleted:
        """Delete a message of a stored completion."""
        path = messages_path(completion_id, message_id)
        return await self._client.request(
            "DELETE", path, ChatCompletionStoreMessageDeleted.model_validate_json, None, call_options(options)
        )
