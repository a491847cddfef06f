"""Who gets the canary, and what happens when it dies."""

from __future__ import annotations

from collections import Counter

from examples.cookbook.canary import ask
from portkey_testing import FakeGateway, error

CANARY = "config.targets[0].targets[1]"


def test_one_call_in_ten_goes_to_the_canary(portkey_fake: FakeGateway) -> None:
    """The draws follow the weights; which call gets which comes from the seed, so it is the same in every run."""
    portkey_fake.always("Sunny")

    for _ in range(200):
        ask("Weather in Oslo?")

    models = Counter(call.route.attempts[0].request.body["model"] for call in portkey_fake.calls)
    assert 10 <= models["gpt-4.1"] <= 30


def test_a_dead_canary_costs_no_answer(portkey_fake: FakeGateway) -> None:
    """The model that is tried out fails, and the old one answers."""
    portkey_fake.pick(CANARY)
    portkey_fake.provider("openai", model="gpt-4.1").reply(error("server_error"))
    portkey_fake.provider("openai", model="gpt-4o").reply("Sunny")

    assert ask("Weather in Oslo?") == "Sunny"
    assert [attempt.target for attempt in portkey_fake.last.route.attempts] == [CANARY, "config.targets[1]"]
