"""Who answers when, and what the caller hears of."""

from __future__ import annotations

import pytest

from examples.cookbook.fallback import NO_CAPACITY, ask
from portkey_client import BadRequestError
from portkey_testing import FakeGateway, error


def test_a_hiccup_is_retried_in_place(portkey_fake: FakeGateway) -> None:
    """One failure of OpenAI costs a second, and no other provider."""
    portkey_fake.provider("openai").reply(error("server_error"), "Sunny")

    assert ask("Weather in Oslo?") == "Sunny"
    assert portkey_fake.last.route.providers == ["openai"]
    assert portkey_fake.clock.now == 1.0


@pytest.mark.parametrize("status", NO_CAPACITY)
def test_anthropic_steps_in(portkey_fake: FakeGateway, status: int) -> None:
    """Whatever says that OpenAI has no capacity leads to Anthropic."""
    portkey_fake.provider("openai").always(status)
    portkey_fake.provider("anthropic").reply("Sunny, 21 degrees")

    assert ask("Weather in Oslo?") == "Sunny, 21 degrees"
    assert portkey_fake.last.route.target == "config.targets[1]"


def test_a_question_that_is_too_long_is_too_long(portkey_fake: FakeGateway) -> None:
    """A mistake of ours is reported, not paid for twice."""
    portkey_fake.provider("openai").reply(error("context_length"))

    with pytest.raises(BadRequestError, match="maximum context length"):
        ask("Weather in Oslo?" * 50_000)
    assert portkey_fake.last.route.providers == ["openai"]
