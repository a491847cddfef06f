"""Two providers, one conversation."""

from __future__ import annotations

import pytest

from examples.cookbook.tool_loop import MAX_TURNS, answer
from portkey_testing import FakeGateway, error, tool_call


def get_weather(city: str) -> str:
    """The thermometer of these tests."""
    return {"Oslo": "21", "Bergen": "14"}[city]


TOOLS = {"get_weather": get_weather}


def test_the_loop_survives_a_change_of_provider(portkey_fake: FakeGateway) -> None:
    """OpenAI calls two tools and goes down; Anthropic gets the results, in its own format, and answers."""
    portkey_fake.provider("openai").reply(
        tool_call("get_weather", city="Oslo", call_id="call_1")
        + tool_call("get_weather", city="Bergen", call_id="call_2"),
        error("overloaded"),
    )
    portkey_fake.provider("anthropic").reply("Oslo is warmer.")

    assert answer("Where is it warmer, in Oslo or in Bergen?", TOOLS) == "Oslo is warmer."
    assert [exchange.result for exchange in portkey_fake.last.tool_exchanges] == ["21", "14"]

    sent = portkey_fake.last.route.attempts[-1].request
    assert sent.url == "https://api.anthropic.com/v1/messages"
    assert [message["content"] for message in sent.body["messages"][-2:]] == [
        [{"type": "tool_result", "tool_use_id": "call_1", "content": "21"}],
        [{"type": "tool_result", "tool_use_id": "call_2", "content": "14"}],
    ]


def test_a_broken_argument_is_told_to_the_model(portkey_fake: FakeGateway) -> None:
    """Models write JSON that is none; the model hears of it and tries again."""
    portkey_fake.allow("invalid_tool_arguments")
    portkey_fake.when(turn=1).reply(tool_call("get_weather", raw='{"city": "Os'))
    portkey_fake.when(turn=2).reply(tool_call("get_weather", city="Oslo"))
    portkey_fake.when(tool_result={"get_weather": "21"}).reply("21 degrees")

    assert answer("Weather in Oslo?", TOOLS) == "21 degrees"
    results = [exchange.result for exchange in portkey_fake.last.tool_exchanges]
    assert results == ["error: Unterminated string starting at: line 1 column 10 (char 9)", "21"]


def test_a_loop_without_end_is_ended(portkey_fake: FakeGateway) -> None:
    """A model that never answers is stopped after five turns."""
    portkey_fake.always(tool_call("get_weather", city="Oslo"))

    with pytest.raises(RuntimeError, match="no answer after 5 turns"):
        answer("Weather in Oslo?", TOOLS)
    assert len(portkey_fake.calls) == MAX_TURNS
