"""The fake a test holds, from its two ends: what is scripted, and what the application and the test get."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from portkey_testing import (
    FakeGateway,
    PortkeyTestFailure,
    SeveralFailures,
    UnknownToGateway,
    UnscriptedRequest,
    UnusedReplies,
    error,
    fault,
    text,
    tool_call,
)
from tests.fake_support import SYNC, TOOLS, URL, USER, Side, body, headers, sides

FALLBACK = {
    "strategy": {"mode": "fallback"},
    "targets": [{"provider": "openai", "api_key": "A"}, {"provider": "groq", "api_key": "B"}],
}


@sides
def test_a_rate_limit_falls_back(side: Side) -> None:
    """The journal has the route, the application the answer."""
    fake = FakeGateway()
    fake.provider("openai").reply(error("rate_limited", retry_after=20))
    fake.provider("groq").reply("Sunny")

    answer = side.ask(fake, config=FALLBACK)

    assert "Sunny" == answer.said
    assert "config.targets[1]" == answer.headers["x-portkey-last-used-option-index"]
    assert ["openai", "groq"] == fake.last.route.providers
    assert [429, 200] == [attempt.status for attempt in fake.last.route.attempts]
    fake.verify()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_mounted_it_answers_every_client(kind: str) -> None:
    """Clients made before and within the block alike."""
    fake = FakeGateway()
    fake.reply("one")
    client: Any = httpx.Client() if kind == "sync" else httpx.AsyncClient()

    async def ask() -> httpx.Response:
        async with client:
            answer: httpx.Response = await client.post(URL, json=body(), headers=headers())
            return answer

    with fake.mount():
        response = client.post(URL, json=body(), headers=headers()) if kind == "sync" else asyncio.run(ask())
    if kind == "sync":
        client.close()

    assert "one" == response.json()["choices"][0]["message"]["content"]


def test_leaving_the_mount_verifies() -> None:
    """A reply that nobody asked for fails the block."""
    fake = FakeGateway()
    fake.reply("unused")

    with pytest.raises(UnusedReplies), fake.mount():
        pass


def test_a_block_that_failed_fails_once() -> None:
    """Its own exception is the news."""
    fake = FakeGateway()
    fake.reply("unused")

    with pytest.raises(ZeroDivisionError), fake.mount():
        _ = 1 / 0


@sides
def test_an_unscripted_request_fails_at_once_and_again(side: Side) -> None:
    """The application may swallow the first, not the second; and each is said once."""
    fake = FakeGateway()

    with pytest.raises(BaseException):  # noqa: B017, PT011  # an event loop wraps it in a group
        side.ask(fake)
    with pytest.raises(UnscriptedRequest):
        fake.verify()

    fake.verify()
    assert isinstance(fake.last.error, UnscriptedRequest)


def test_an_agent_that_loops_past_its_script_fails_at_once() -> None:
    """And not for ever."""
    fake = FakeGateway()
    fake.reply(tool_call("get_weather", city="Oslo"))
    rounds = 0

    def agent() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            SYNC.ask(fake, body(tools=TOOLS))

    with pytest.raises(UnscriptedRequest, match="its queue is used up"):
        agent()
    assert 2 == rounds


def test_unused_replies_are_listed_with_their_lines() -> None:
    """What, for whom, how often, where."""
    fake = FakeGateway()
    fake.provider("openai", model="gpt-*").reply(text("never").times(2), error("overloaded"))

    with pytest.raises(UnusedReplies) as caught:
        fake.verify()

    said = str(caught.value)
    assert "2 scripted replies were never used" in said
    assert "text('never').times(2)  for provider='openai', model='gpt-*', 2 times, " in said
    assert f"{__file__}:" in said
    assert "fake.allow('unused_replies')" in said


def test_several_failures_are_told_together() -> None:
    """Numbered, in the order they happened."""
    fake = FakeGateway()
    fake.when(message="nobody says this").reply("unused")
    with pytest.raises(UnscriptedRequest):
        SYNC.ask(fake)

    with pytest.raises(SeveralFailures) as caught:
        fake.verify()

    assert [UnscriptedRequest, UnusedReplies] == [type(failure) for failure in caught.value.failures]


def test_failures_pass_through_whatever_catches_exceptions() -> None:
    """SDKs retry every Exception; these are none."""
    assert not issubclass(PortkeyTestFailure, Exception)


def test_failures_in_threads_are_reported_at_the_end() -> None:
    """A thread swallows what it raises."""
    fake = FakeGateway()

    def work() -> None:
        try:
            SYNC.ask(fake)
        except BaseException:  # noqa: BLE001  # what a careless thread does
            return

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    with pytest.raises(UnscriptedRequest):
        fake.verify()


@pytest.mark.parametrize("narrow", [{"model": "gpt-4o"}, {"api_key": "K2"}, {"target": "config.targets[1]"}])
def test_a_provider_can_be_narrowed(narrow: dict[str, str]) -> None:
    """To a model, a key, or a target of the config."""
    fake = FakeGateway()
    fake.provider("openai", **narrow).always("narrow")
    fake.provider("openai").always("wide")
    second = {"provider": "openai", "api_key": "K2", "override_params": {"model": "gpt-4o"}}
    config = {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "openai", "api_key": "K1"}, second]}
    fake.pick("config.targets[1]", "config.targets[0]")

    assert ["narrow", "wide"] == [answer.said for answer in SYNC.ask_all(fake, [body()] * 2, config=config)]


@pytest.mark.parametrize("narrow", [{"virtual_key": "prod"}, {"slug": "prod"}, {"slug": "@prod"}])
def test_a_provider_can_be_narrowed_to_a_virtual_key(narrow: dict[str, str]) -> None:
    """However a request names it: by a header, in the config, as a slug, before the model."""
    fake = FakeGateway()
    with pytest.raises(LookupError, match="nobody registered the virtual key or slug 'prod'"):
        fake.provider("openai", **narrow)
    fake.virtual_key("prod", provider="openai")
    fake.virtual_key("test", provider="openai")
    fake.provider("openai", **narrow).always("prod")
    fake.when(slug="test").always("test")

    assert "prod" == SYNC.ask(fake, provider="@prod").said
    assert "test" == SYNC.ask(fake, provider="@test").said
    assert "prod" == SYNC.ask(fake, config={"virtual_key": "prod"}).said
    assert "prod" == SYNC.ask(fake, body(model="@prod/gpt-4o")).said


def test_the_account_knows_what_was_registered() -> None:
    """Saved configs, virtual keys, a default provider; anything else fails the test with the line to write."""
    fake = FakeGateway()
    fake.saved_config("pc-1", {"provider": "groq", "api_key": "K"})
    fake.virtual_key("prod", provider="openai")
    fake.always("hi")

    with httpx.Client(transport=fake.transport()) as client:
        saved = {"x-portkey-config": "pc-1", "content-type": "application/json"}
        assert "groq" == client.post(URL, json=body(), headers=saved).headers["x-portkey-provider"]
        virtual = {"x-portkey-virtual-key": "prod", "content-type": "application/json"}
        assert "openai" == client.post(URL, json=body(), headers=virtual).headers["x-portkey-provider"]
        unknown = {"x-portkey-virtual-key": "nope", "content-type": "application/json"}
        with pytest.raises(UnknownToGateway, match=r"fake\.virtual_key"):
            client.post(URL, json=body(), headers=unknown)


def test_the_application_leg_takes_httpx_exceptions() -> None:
    """As classes or instances; one that no client sees there is refused."""
    fake = FakeGateway()
    fake.gateway.reply(httpx.ConnectError, httpx.ReadTimeout("slow"))

    with pytest.raises(httpx.ConnectError):
        SYNC.ask(fake)
    with pytest.raises(httpx.ReadTimeout):
        SYNC.ask(fake)
    with pytest.raises(TypeError, match="is no failure a client sees before an answer"):
        fake.gateway.reply(ValueError)
    provider_leg: Any = httpx.ConnectError("not here")
    with pytest.raises(TypeError, match=r"such as fault\('stall_before_headers'\); .*fake\.gateway\.reply"):
        fake.reply(provider_leg)


def test_nothing_is_routed_on_the_application_leg() -> None:
    """No attempt, no header of the gateway, and the script of the provider stays queued."""
    fake = FakeGateway()
    fake.gateway.reply(fault("html_page"))
    fake.reply("from the provider")

    page, answer = SYNC.ask_all(fake, [body(), body()])

    assert 502 == page.status
    assert not any(name.startswith("x-portkey") for name in page.headers)
    assert "from the provider" == answer.said
    assert [0, 1] == [len(call.route.attempts) for call in fake.calls]


def test_the_journal_reads_like_the_flow_of_tools() -> None:
    """Which tools were called with what, and what came back, several calls of one included."""
    fake = FakeGateway()
    fake.reply(
        tool_call("get_weather", city="Oslo", call_id="a") + tool_call("get_weather", city="Bergen", call_id="b"),
        "Sun in Oslo, rain in Bergen.",
    )
    first = SYNC.ask(fake, body(tools=TOOLS)).message
    results = [{"role": "tool", "tool_call_id": i, "content": said} for i, said in (("b", "rain"), ("a", "sun"))]

    SYNC.ask(fake, body(tools=TOOLS, messages=[*USER, first, *results]))

    assert [("get_weather", {"city": "Oslo"}, "sun"), ("get_weather", {"city": "Bergen"}, "rain")] == [
        (exchange.name, exchange.arguments, exchange.result) for exchange in fake.last.tool_exchanges
    ]
    assert "tool get_weather(city='Oslo') gave sun" in fake.journal


def test_parallel_tasks_each_get_their_own_answer() -> None:
    """By what they ask, once each."""
    fake = FakeGateway()
    for number in range(20):
        fake.when(message=f"question {number}.").reply(text(f"answer {number}").delayed(20 - number))

    async def ask(client: httpx.AsyncClient, number: int) -> str:
        request = body(messages=[{"role": "user", "content": f"question {number}."}])
        answer = (await client.post(URL, json=request, headers=headers())).json()
        return str(answer["choices"][0]["message"]["content"])

    async def main() -> list[str]:
        async with httpx.AsyncClient(transport=fake.transport(), timeout=60.0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(20)))

    assert [f"answer {number}" for number in range(20)] == asyncio.run(main())
    assert 20.0 == fake.clock.now
    fake.verify()


def test_an_edition_that_is_none_is_refused() -> None:
    """There are two."""
    with pytest.raises(ValueError, match="'hosted' or 'open-source'"):
        FakeGateway(edition="enterprise")  # type: ignore[arg-type]  # the mistake that is tested


def test_before_the_first_call_there_is_no_last_one() -> None:
    """It says so."""
    with pytest.raises(LookupError, match="has not been called yet"):
        _ = FakeGateway().last


@sides
def test_runs_of_one_seed_are_alike(side: Side) -> None:
    """Ids, times, picks: byte for byte."""
    config = {
        "strategy": {"mode": "loadbalance"},
        "targets": [{"provider": "openai", "api_key": str(n), "weight": 1} for n in range(3)],
    }

    def run(seed: int) -> list[tuple[bytes, Any]]:
        fake = FakeGateway(seed=seed)
        fake.always("hi")
        answers = side.ask_all(fake, [body()] * 6, config=config)
        return [(a.content, a.headers["x-portkey-last-used-option-index"]) for a in answers]

    assert run(3) == run(3)
    assert run(3) != run(4)
