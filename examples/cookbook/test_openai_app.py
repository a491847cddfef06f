"""The fake answers every client of httpx and of httpx2."""

from __future__ import annotations

import pytest
from openai import RateLimitError

from examples.cookbook.openai_app import ask
from portkey_testing import FakeGateway, error


@pytest.fixture(autouse=True)
def openai_prod(portkey_fake: FakeGateway) -> None:
    """The provider that the application names is kept by Portkey."""
    portkey_fake.virtual_key("openai-prod", provider="openai")


def test_the_answer_comes_through_the_gateway(portkey_fake: FakeGateway) -> None:
    """The fake answers the SDK, whichever HTTP library that uses, and sees what the gateway would see."""
    portkey_fake.reply("Sunny")

    assert ask("Weather in Oslo?") == "Sunny"
    assert portkey_fake.last.route.providers == ["openai"]
    assert portkey_fake.last.request.headers["x-portkey-metadata"] == '{"team": "search"}'


def test_errors_are_those_of_the_sdk(portkey_fake: FakeGateway) -> None:
    """A rate limit is the class that the application catches."""
    portkey_fake.reply(error("rate_limited", retry_after=20))

    with pytest.raises(RateLimitError, match="try again in 20s"):
        ask("Weather in Oslo?")
