"""The same promises for the asynchronous agent."""

from __future__ import annotations

import pytest

from examples import agent_async as agent
from portkey_client import IncompleteStreamError
from portkey_testing import FakeGateway, error, text, tool_call

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The example uses asyncio."""
    return "asyncio"


async def test_falls_back_when_openai_is_rate_limited(portkey_fake: FakeGateway) -> None:
    """A rate limit at OpenAI is answered by Anthropic."""
    portkey_fake.provider("openai").reply(error("rate_limited", retry_after=20))
    portkey_fake.provider("anthropic").reply("Sunny, 21 degrees")

    assert await agent.ask("Weather in Oslo?") == "Sunny, 21 degrees"
    assert portkey_fake.last.route.providers == ["openai", "anthropic"]
    assert portkey_fake.last.route.target == "config.targets[1]"


async def test_the_agent_feeds_the_tool_result_back(portkey_fake: FakeGateway) -> None:
    """What the tool says reaches the model."""
    portkey_fake.reply(tool_call("get_weather", {"location": "Oslo"}), "It is 21 degrees in Oslo.")

    assert await agent.run_agent("Weather in Oslo?") == "It is 21 degrees in Oslo."
    assert portkey_fake.last.tool_exchanges[0].result == "21"


async def test_half_an_answer_is_never_shown(portkey_fake: FakeGateway) -> None:
    """A stream that breaks off is an error that keeps what came."""
    portkey_fake.reply(text("It is raining cats and dogs").cut(chunks=3))

    with pytest.raises(IncompleteStreamError) as caught:
        async for _ in agent.stream_answer("Weather in Oslo?"):
            pass
    assert caught.value.partial.choices[0].message.content == "It is raining"


async def test_questions_side_by_side_take_as_long_as_the_slowest(portkey_fake: FakeGateway) -> None:
    """Three parallel calls of 2, 3 and 3 seconds take 3, and a later one of 4 seconds ends at 7."""
    for question, seconds in (("one", 2), ("two", 3), ("three", 3), ("four", 4)):
        portkey_fake.when(message=question).reply(text(question).delayed(seconds))

    assert await agent.ask_all(["one", "two", "three"]) == ["one", "two", "three"]
    assert portkey_fake.clock.now == 3.0
    await agent.ask("four")
    assert portkey_fake.clock.now == 7.0
