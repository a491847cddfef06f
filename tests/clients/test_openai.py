"""The released openai SDK, unmodified, against the fake in the same process."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from portkey_client import PORTKEY_GATEWAY_URL, createHeaders
from portkey_testing import FakeGateway, UnscriptedRequest, error, fault, text, tool_call
from portkey_testing.replies import ReplyLike

FALLBACK = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {"provider": "openai", "api_key": "OPENAI_KEY"},
        {
            "provider": "anthropic",
            "api_key": "ANTHROPIC_KEY",
            "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 1024},
        },
    ],
}

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather in Oslo?"}]

TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
        },
    }
]


def _options(**more: Any) -> dict[str, Any]:
    """How an application points the SDK at Portkey."""
    return {
        "api_key": "unused",
        "base_url": PORTKEY_GATEWAY_URL,
        "default_headers": createHeaders(api_key="PORTKEY_API_KEY", **more),
    }


client = OpenAI(**_options(provider="openai"))  # at import time, as applications do


def test_an_answer(portkey_fake: FakeGateway) -> None:
    """The SDK parses what the fake answers, and its client needed no preparation."""
    portkey_fake.reply(text("Sunny").with_usage(prompt_tokens=5, completion_tokens=1))

    answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert "Sunny" == answer.choices[0].message.content
    assert "stop" == answer.choices[0].finish_reason
    assert answer.usage is not None
    assert (5, 1, 6) == (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens)


def test_gateway_headers_are_there(portkey_fake: FakeGateway) -> None:
    """Through the raw response, as the SDK offers them."""
    portkey_fake.reply("Sunny")

    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)

    assert "openai" == raw.headers["x-portkey-provider"]
    assert "Sunny" == raw.parse().choices[0].message.content


def test_a_stream(portkey_fake: FakeGateway) -> None:
    """Chunk by chunk, in virtual time."""
    portkey_fake.reply(text("It is sunny").streamed(by="word", ttft=2.0))

    with client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True) as stream:
        said = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]

    assert "It is sunny" == "".join(said)
    assert 2.0 <= portkey_fake.clock.now
    assert not portkey_fake.last.broke_off


def test_a_tool_loop(portkey_fake: FakeGateway) -> None:
    """A tool call, its result, and the answer: the journal puts the two together."""
    portkey_fake.reply(tool_call("get_weather", location="Oslo"), "It is 21 degrees.")

    asked = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS).choices[0].message
    assert asked.tool_calls is not None
    call = asked.tool_calls[0]
    result: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "21"}
    history: list[Any] = [*MESSAGES, asked, result]
    answer = client.chat.completions.create(model="gpt-4o", messages=history, tools=TOOLS)

    assert "It is 21 degrees." == answer.choices[0].message.content
    exchange = portkey_fake.last.tool_exchanges[0]
    assert ("get_weather", {"location": "Oslo"}, "21") == (exchange.name, exchange.arguments, exchange.result)


def test_a_streamed_tool_call(portkey_fake: FakeGateway) -> None:
    """The SDK's own accumulation of the stream finds the arguments whole."""
    portkey_fake.reply(tool_call("get_weather", location="Malmö"))

    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls is not None
    assert '{"location":"Malmö"}' == message.tool_calls[0].function.arguments.replace(" ", "")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error("rate_limited"), openai.RateLimitError),
        (error("overloaded"), openai.InternalServerError),
        (error("invalid_key"), openai.AuthenticationError),
        (error("model_not_found"), openai.NotFoundError),
    ],
    ids=["rate limited", "overloaded", "key", "model"],
)
def test_an_error_is_the_sdks_own(portkey_fake: FakeGateway, reply: ReplyLike, expected: type[openai.APIError]) -> None:
    """Each status becomes the class that applications catch."""
    portkey_fake.reply(reply)

    with pytest.raises(expected):
        client.with_options(max_retries=0).chat.completions.create(model="gpt-4o", messages=MESSAGES)


def test_a_broken_connection_is_the_sdks_own(portkey_fake: FakeGateway) -> None:
    """httpx2's exceptions arrive, or the SDK would not know them."""
    portkey_fake.gateway.reply(fault("refused"), fault("stall_before_headers"))
    once = client.with_options(max_retries=0, timeout=3.0)

    with pytest.raises(openai.APIConnectionError):
        once.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    with pytest.raises(openai.APITimeoutError):
        once.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert 3.0 == portkey_fake.clock.now


def test_a_fallback(portkey_fake: FakeGateway) -> None:
    """The config in the headers is evaluated for any client."""
    portkey_fake.provider("openai").reply(error("rate_limited"))
    portkey_fake.provider("anthropic").reply("Sunny")

    with OpenAI(**_options(config=FALLBACK)) as routed:
        answer = routed.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert "Sunny" == answer.choices[0].message.content
    assert ["openai", "anthropic"] == portkey_fake.last.route.providers


def test_an_unscripted_request_gets_past_the_retries(portkey_fake: FakeGateway) -> None:
    """The failure of the fake is not retried, and not turned into a connection error."""
    fake = FakeGateway()

    with fake.mounted(), pytest.raises(UnscriptedRequest, match="no script answers openai"):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert (1, 0) == (len(fake.calls), len(portkey_fake.calls))


def test_the_async_client(portkey_fake: FakeGateway) -> None:
    """An answer and a stream, side by side."""
    portkey_fake.when(stream=False).reply("first", text("whole").delayed(3))
    portkey_fake.when(stream=True).reply(text("streamed").delayed(2))

    async def main() -> list[str]:
        async with AsyncOpenAI(**_options(provider="openai")) as asynchronous:
            # The SDK's first call looks up its platform in a thread, and virtual time does not wait for real threads.
            await _whole(asynchronous)
            return list(await asyncio.gather(_streamed(asynchronous), _whole(asynchronous)))

    assert ["streamed", "whole"] == asyncio.run(main())
    assert 3.0 == portkey_fake.clock.now


async def _whole(asynchronous: AsyncOpenAI) -> str:
    answer = await asynchronous.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    return answer.choices[0].message.content or ""


async def _streamed(asynchronous: AsyncOpenAI) -> str:
    stream = await asynchronous.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
