"""What is said of an application that does not behave."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portkey_testing import FakeGateway, error, fault, text
from portkey_testing.replies import ReplyLike
from tests.fake_support import SYNC, URL, USER, body, headers


def verdict(fake: FakeGateway) -> str:
    """The complaint about the application."""
    with pytest.raises(AssertionError) as caught:
        fake.assert_well_behaved()
    return str(caught.value)


def test_an_application_without_fault_is_left_alone() -> None:
    """Different requests, a retry after the time asked for, a closed stream: all is well."""
    fake = FakeGateway()
    fake.gateway.reply(error("overloaded"), error("rate_limited", retry_after=2))
    fake.always("fine")

    SYNC.ask(fake)
    fake.clock.sleep(1)
    SYNC.ask(fake)
    fake.clock.sleep(2)
    SYNC.ask_all(fake, [body(), body(stream=True), body(n=1)])

    fake.assert_well_behaved()


@pytest.mark.parametrize("name", ["invalid_key", "context_length", "model_not_found", "quota_exceeded"])
def test_what_cannot_get_better_is_not_tried_again(name: str) -> None:
    """The same request would get the same answer."""
    fake = FakeGateway()
    fake.reply(error(name).times(2))

    SYNC.ask_all(fake, [body(), body()])

    assert "retried (calls 1, 2)" in verdict(fake)


def test_a_provider_may_forbid_a_retry_by_a_header() -> None:
    """`x-should-retry: false` holds whatever the status."""
    fake = FakeGateway()
    fake.gateway.reply(error("overloaded").with_headers({"x-should-retry": "false"}).times(2))

    SYNC.ask_all(fake, [body(), body()])

    assert "x-should-retry: false" in verdict(fake)


@pytest.mark.parametrize("asked", [20, 60])
def test_retry_after_is_to_be_waited_for(asked: int) -> None:
    """In seconds on the clock, from the end of the one call to the start of the other."""
    fake = FakeGateway()
    fake.gateway.reply(error("rate_limited", retry_after=asked), "fine")
    fake.clock.sleep(3)

    SYNC.ask(fake)
    fake.clock.sleep(5)
    SYNC.ask(fake)

    assert f"asked for {asked} s of patience (Retry-After), and got 5 s" in verdict(fake)


def test_a_quota_is_not_to_be_waited_for() -> None:
    """More than a minute is nobody's duty."""
    fake = FakeGateway()
    fake.gateway.reply(error("rate_limited", retry_after=61), "fine")

    SYNC.ask(fake)
    fake.clock.sleep(5)
    SYNC.ask(fake)

    fake.assert_well_behaved()


def asked_in_vain(times: int, pause: float) -> FakeGateway:
    """A fake that was asked the same so often, with a pause after each, and never answered."""
    fake = FakeGateway()
    fake.gateway.always(fault("reset_before_headers"))
    for _ in range(times):
        with pytest.raises(Exception, match="reset by peer"):
            SYNC.ask(fake)
        fake.clock.sleep(pause)
    return fake


@pytest.mark.parametrize(("times", "pause"), [(4, 0.0), (7, 1.0)])
def test_a_storm_is_a_storm(times: int, pause: float) -> None:
    """Three times again without a pause, or seven times in all."""
    assert "stormed" in verdict(asked_in_vain(times, pause))


@pytest.mark.parametrize(("times", "pause"), [(3, 0.0), (6, 1.0)])
def test_trying_again_is_no_storm(times: int, pause: float) -> None:
    """Twice again at once, or as often as the gateway itself would."""
    asked_in_vain(times, pause).assert_well_behaved()


@pytest.mark.parametrize(
    "script", [lambda: text("It is raining cats").cut(chunks=3), lambda: text("It is").damaged("missing_finish")]
)
def test_half_an_answer_is_no_answer(script: Callable[[], ReplyLike]) -> None:
    """Taking it into the conversation shows that it was taken for a whole one."""
    fake = FakeGateway()
    fake.reply(script(), "fine")

    half = SYNC.ask(fake, body(stream=True)).said
    SYNC.ask(fake, body(messages=[*USER, {"role": "assistant", "content": half}, *USER]))

    assert "truncated (calls 1, 2)" in verdict(fake)


def test_half_an_answer_may_be_thrown_away() -> None:
    """What the conversation goes on with is something else."""
    fake = FakeGateway()
    fake.reply(text("It is raining cats").cut(chunks=3), "fine")

    SYNC.ask(fake, body(stream=True))
    SYNC.ask(fake, body(messages=[*USER, {"role": "assistant", "content": "Let me see."}, *USER]))

    fake.assert_well_behaved()


def test_a_stream_is_read_or_closed() -> None:
    """One that is neither keeps its connection."""
    import httpx

    fake = FakeGateway()
    fake.reply("It is raining")
    client = httpx.Client(transport=fake.transport())
    request = client.build_request("POST", URL, json=body(stream=True), headers=headers())

    response = client.send(request, stream=True)

    assert "left_open (call 1)" in verdict(fake)
    response.close()
    fake.assert_well_behaved()
    client.close()


def test_several_complaints_are_made_at_once() -> None:
    """In the order of the calls."""
    fake = FakeGateway()
    fake.reply(error("invalid_key").times(2), error("context_length").times(2))

    SYNC.ask_all(fake, [body(), body(), body(n=1), body(n=1)])

    said = verdict(fake)
    assert said.startswith("the application did not behave well:")
    assert said.index("1. retried (calls 1, 2)") < said.index("2. retried (calls 3, 4)")
