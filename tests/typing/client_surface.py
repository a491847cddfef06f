"""What type checkers must make of the client: declared types are the runtime types, and nothing needs silencing.

Checked by mypy and basedpyright, never run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import httpx
import httpx2
from pydantic import BaseModel

from portkey_client import (
    AsyncPortkey,
    AsyncStream,
    ChatCompletionChunk,
    ChatCompletions,
    Config,
    IncompleteStreamError,
    ParsedChatCompletion,
    Portkey,
    Strategy,
    Stream,
    Target,
    Timeout,
)
from portkey_client.types import MessageParam, TokenLogprob, ToolParam


class Weather(BaseModel):
    city: str


@dataclass
class Place:
    city: str


messages: list[MessageParam] = [{"role": "user", "content": "Weather in Oslo?"}]
tools: list[ToolParam] = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def answers(client: Portkey) -> str:
    """The overloads of `create`, and a plain reading of an answer."""
    assert_type(client.chat.completions.create(messages=messages), ChatCompletions)
    assert_type(client.chat.completions.create(messages=messages, stream=False), ChatCompletions)
    assert_type(client.chat.completions.create(messages=messages, stream=None, tools=tools), ChatCompletions)
    answer = client.chat.completions.create(messages=[{"role": "user", "content": "Hi"}], model="gpt-4o", seed=1)
    for call in answer.choices[0].message.tool_calls or []:
        assert_type(call.function.arguments, str)
    messages_again = [*messages, answer.choices[0].message]
    client.chat.completions.create(messages=messages_again, logit_bias={50256: -100})
    assert_type(answer.gateway.trace_id, str | None)
    assert_type(answer.provider, str | None)
    for block in answer.choices[0].message.content_blocks or []:
        assert_type(block, dict[str, Any])
    return answer.choices[0].message.content or ""


def either(client: Portkey, stream: bool) -> ChatCompletions | Stream[ChatCompletionChunk]:
    """A `stream` known only at run time gives both."""
    return client.chat.completions.create(messages=messages, stream=stream)


def streamed(client: Portkey) -> str:
    """Chunks, their text, and what is left of a cut stream."""
    stream = client.chat.completions.create(messages=messages, stream=True)
    assert_type(stream, Stream[ChatCompletionChunk])
    try:
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    except IncompleteStreamError as error:
        return error.partial.choices[0].message.content or ""


def structured(client: Portkey) -> Weather | None:
    """`parse` gives instances of the class, and so does a stream of events."""
    answer = client.chat.completions.parse(messages=messages, response_format=Weather)
    assert_type(answer, ParsedChatCompletion[Weather])
    for call in answer.choices[0].message.tool_calls or []:
        assert_type(call.function.parsed_arguments, Any)
    assert_type(client.chat.completions.parse(messages=messages), ParsedChatCompletion[BaseModel])
    place = client.chat.completions.parse(messages=messages, response_format=Place)
    assert_type(place.choices[0].message.parsed, Place | None)
    with client.chat.completions.stream(messages=messages, response_format=Weather) as stream:
        for event in stream:
            if event.type == "content.delta":
                assert_type(event.delta, str)
            elif event.type == "content.done":
                assert_type(event.parsed, Weather | None)
            elif event.type == "logprobs.content.delta":
                assert_type(event.snapshot, list[TokenLogprob])
        assert_type(stream.current_completion_snapshot, ChatCompletions)
        assert_type(stream.until_done().get_final_completion(), ParsedChatCompletion[Weather])
    with client.chat.completions.stream(messages=messages) as plain:
        plain.get_final_completion()
    return answer.choices[0].message.parsed


async def asynchronous(client: AsyncPortkey) -> None:
    """The same, awaited."""
    assert_type(await client.chat.completions.create(messages=messages), ChatCompletions)
    stream = await client.chat.completions.create(messages=messages, stream=True)
    assert_type(stream, AsyncStream[ChatCompletionChunk])
    async for chunk in stream:
        assert_type(chunk, ChatCompletionChunk)
    async for stored in client.chat.completions.list_all(limit=2):
        assert_type(stored, ChatCompletions)
    async with client.chat.completions.stream(messages=messages, response_format=Weather) as events:
        assert_type((await anext(events)).type == "chunk", bool)
        assert_type(await events.get_final_completion(), ParsedChatCompletion[Weather])


def options() -> Portkey:
    """Constructor keywords are typed, and copies take the same."""
    client = Portkey(
        api_key="PK",
        config=Config(strategy=Strategy(mode="fallback"), targets=[Target(provider="openai", api_key="k", weight=0.7)]),
        metadata={"_user": "u"},
        debug=True,
        timeout=Timeout(30, first_token=10, total=120),
        max_retries=2,
        http_client=httpx.Client(),
    )
    assert_type(Portkey(http_client=httpx2.Client()), Portkey)
    assert_type(AsyncPortkey(http_client=httpx2.AsyncClient(), timeout=30), AsyncPortkey)
    assert_type(client.with_options(debug=False, trace_id=None), Portkey)
    assert_type(client.beta.chat.completions.parse(messages=messages, response_format=Weather).choices[0].index, int)
    return client
