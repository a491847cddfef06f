"""What the window shows, from the first word to the last failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from examples.cookbook.streaming_ui import Bubble, show
from portkey_testing import FakeGateway, fault_matrix, text
from portkey_testing.replies import Reply


@pytest.fixture(autouse=True)
def openai_prod(portkey_fake: FakeGateway) -> None:
    """The provider that the application names is kept by Portkey."""
    portkey_fake.virtual_key("openai-prod", provider="openai")


def states(stopped: Callable[[], bool] = lambda: False) -> list[Bubble]:
    """All states of the window for one question."""

    async def shown() -> list[Bubble]:
        return [bubble async for bubble in show("Weather in Oslo?", stopped)]

    return asyncio.run(shown())


def test_words_appear_as_they_come(portkey_fake: FakeGateway) -> None:
    """The first word takes a second, each further one a quarter of one."""
    portkey_fake.reply(text("It is sunny").streamed(by="word", ttft=1, tps=4))

    assert states() == [
        Bubble("", "waiting"),
        Bubble("It", "writing"),
        Bubble("It is", "writing"),
        Bubble("It is sunny", "writing"),
        Bubble("It is sunny", "done"),
    ]
    assert portkey_fake.clock.now == 1.5


def test_stop_hangs_up(portkey_fake: FakeGateway) -> None:
    """What nobody reads is not paid for: the connection is closed at once."""
    portkey_fake.reply(text("It is raining cats and dogs").streamed(by="word", tps=1))

    assert states(stopped=lambda: portkey_fake.clock.now >= 2)[-1] == Bubble("It is raining", "stopped")
    assert portkey_fake.last.closed_early


def test_a_provider_that_breaks_off_is_seen(portkey_fake: FakeGateway) -> None:
    """The gateway ends such a stream as if it were whole; the window still says that it is not."""
    portkey_fake.reply(text("It is raining cats and dogs").cut(chunks=3))

    assert states()[-1] == Bubble("It is raining", "broken")


@fault_matrix("application")
def test_whatever_happens_the_window_ends_up_somewhere(portkey_fake: FakeGateway, fault: Reply) -> None:
    """No failure on the way is raised into the window, and none leaves it writing."""
    portkey_fake.gateway.always(fault)

    assert states()[-1].state in {"done", "broken"}
