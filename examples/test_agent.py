"""Tests of the agent, offline, without keys and without waiting."""

from __future__ import annotations

import pytest

from examples import agent
from portkey_client import BadRequestError, IncompleteStreamError, Portkey
from portkey_testing import FakeGateway, RefusedRequest, UnusedReplies, error, text, tool_call


def test_falls_back_when_openai_is_rate_limited(portkey_fake: FakeGateway) -> None:
    """A rate limit at OpenAI is answered by Anthropic."""
    portkey_fake.provider("openai").reply(error("rate_limited", retry_after=20))
    portkey_fake.provider("anthropic").reply("Sunny, 21 degrees")

    assert agent.ask("Weather in Oslo?") == "Sunny, 21 degrees"
    assert portkey_fake.last.route.providers == ["openai", "anthropic"]
    assert portkey_fake.last.route.target == "config.targets[1]"


def test_the_agent_feeds_the_tool_result_back(portkey_fake: FakeGateway) -> None:
    """What the tool says reaches the model."""
    portkey_fake.reply(tool_call("get_weather", {"location": "Oslo"}), "It is 21 degrees in Oslo.")

    assert agent.run_agent("Weather in Oslo?") == "It is 21 degrees in Oslo."
    assert portkey_fake.last.tool_exchanges[0].result == "21"


def test_half_an_answer_is_never_shown(portkey_fake: FakeGateway) -> None:
    """A stream that breaks off is an error that keeps what came."""
    portkey_fake.reply(text("It is raining cats and dogs").cut(chunks=3))

    with pytest.raises(IncompleteStreamError) as caught:
        list(agent.stream_answer("Weather in Oslo?"))
    assert caught.value.partial.choices[0].message.content == "It is raining"


def test_waiting_costs_nothing(portkey_fake: FakeGateway) -> None:
    """Ten minutes of a slow model and a retry pass in virtual time."""
    portkey_fake.provider("openai").reply(error("overloaded"), text("At last.").delayed(599))

    assert agent.ask("Weather in Oslo?") == "At last."
    assert portkey_fake.clock.now == 600.0


@pytest.mark.portkey_cassette("agent/streamed_tool_call.yaml")
def test_a_recorded_conversation_plays_again(portkey_fake: FakeGateway) -> None:
    """A conversation recorded from the real gateway answers the agent as it did then."""
    shown: list[str] = []

    assert agent.run_agent("Weather in Oslo?", shown.append) == "It is 21 degrees in Oslo."
    assert shown == ["It is ", "21 degrees ", "in Oslo."]
    assert portkey_fake.last.tool_exchanges[0].result == "21"


def test_a_fallback_that_only_looks_right_fails() -> None:
    """Without its override the Anthropic target gets a model it does not know, and the test says so."""
    openai, anthropic = agent.CONFIG["targets"]
    bare = {name: value for name, value in anthropic.items() if name != "override_params"}
    client = Portkey(api_key="PORTKEY_API_KEY", config={**agent.CONFIG, "targets": [openai, bare]})
    fake = FakeGateway()
    fake.provider("openai").reply(error("rate_limited"))
    fake.allow("unused_replies")

    with pytest.raises(RefusedRequest, match="max_tokens: Field required"), fake.mount():
        _ask_in_vain(client)


def _ask_in_vain(client: Portkey) -> None:
    with pytest.raises(BadRequestError, match="anthropic error: max_tokens: Field required"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Weather in Oslo?"}])


def test_a_reply_nobody_asks_for_fails() -> None:
    """A scripted fallback that never happens is told."""
    fake = FakeGateway()
    fake.provider("openai").reply("Sunny")
    fake.provider("anthropic").reply("never asked for")

    with pytest.raises(UnusedReplies, match="never asked for"), fake.mount():
        agent.ask("Weather in Oslo?")
