"""What a client sees, whichever way it reaches the fake."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from portkey_testing import FakeGateway, HangingRequest, UnscriptedRequest, error, fault, text, tool_call
from portkey_testing.faults import CATALOGUE, WireFault
from tests.contract.conftest import HEADERS, URL, Wire, chat

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def test_an_answer_arrives_whole(fake: FakeGateway, anywhere: Wire) -> None:
    """Status, headers and JSON are those of the gateway, and the journal has the call."""
    fake.reply("Sunny")

    received = anywhere.send()

    assert 200 == received.status
    assert "application/json" == received.headers["content-type"]
    assert "openai" == received.headers["x-portkey-provider"]
    assert "Sunny" == received.json["choices"][0]["message"]["content"]
    assert (1, 200, False) == (len(fake.calls), fake.last.status, fake.last.closed_early)


def test_the_request_arrives_whole(fake: FakeGateway, anywhere: Wire) -> None:
    """The fake sees path, headers in lower case and body as they were sent."""
    fake.reply("Sunny")

    anywhere.send(chat("Wie wird es in Malmö?"), headers={"X-Portkey-Provider": "openai", "X-Mine": "yes"})

    request = fake.last.request
    assert ("POST", "/v1/chat/completions") == (request.method, request.path)
    assert "yes" == request.headers["x-mine"]
    assert "Wie wird es in Malmö?" == request.messages[0]["content"]


def test_tool_calls_arrive(fake: FakeGateway, anywhere: Wire) -> None:
    """A scripted tool call is one of the message, with its arguments as JSON."""
    fake.reply(tool_call("get_weather", location="Oslo"))

    message = anywhere.send(chat(tools=TOOLS)).json["choices"][0]["message"]

    assert '{"location":"Oslo"}' == message["tool_calls"][0]["function"]["arguments"].replace(" ", "")


def test_a_stream_arrives_whole(fake: FakeGateway, anywhere: Wire) -> None:
    """Its events are those of the answer, in order, and the last one is [DONE]."""
    fake.reply(text("It is raining cats").streamed(by="word"))

    received = anywhere.send(chat(stream=True))

    assert "text/event-stream" == received.headers["content-type"].partition(";")[0]
    assert ("It is raining cats", "[DONE]") == (received.said, received.events[-1])


def test_a_stream_arrives_in_pieces(fake: FakeGateway, wire: Wire) -> None:
    """In process, each event is a piece of its own."""
    fake.reply(text("It is raining cats").streamed(by="word"))

    received = wire.send(chat(stream=True))

    assert len(received.events) == len(received.pieces) == fake.last.chunks > 4


def test_an_error_of_the_provider_arrives(fake: FakeGateway, anywhere: Wire) -> None:
    """Its status and body are the gateway's rendering of it."""
    fake.reply(error("rate_limited", retry_after=20))

    received = anywhere.send()

    assert 429 == received.status
    assert "20" == received.headers["retry-after"]
    assert received.json["error"]["message"]


def test_a_failure_of_the_fake_arrives_as_itself(wire: Wire) -> None:
    """No library turns it into an exception of its own."""
    with pytest.raises(UnscriptedRequest, match="no script answers openai"):
        wire.send()


def test_waiting_is_virtual(fake: FakeGateway, wire: Wire) -> None:
    """Latency and the gaps of a stream advance the clock of the fake by what was scripted."""
    fake.reply(text("one two three").delayed(2.5), text("one two three").streamed(by="word", ttft=1.0, tps=4))

    wire.send()
    assert 2.5 == fake.clock.now
    wire.send(chat(stream=True))
    assert 2.5 + 1.0 < fake.clock.now
    assert fake.last.duration == pytest.approx(fake.clock.now - 2.5)


def test_a_slow_answer_times_out(fake: FakeGateway, wire: Wire) -> None:
    """The client gives up after exactly its read timeout, with the exception of its own library."""
    fake.reply(text("late").delayed(10))

    with pytest.raises(wire.library.ReadTimeout):
        wire.send(timeout=4.0)
    assert 4.0 == fake.clock.now
    assert isinstance(fake.last.error, Exception)


def test_a_pause_within_a_stream_times_out(fake: FakeGateway, wire: Wire) -> None:
    """The read timeout counts from piece to piece, so what came before the pause is there."""
    fake.reply(text("one two three").streamed(by="word", ttft=0.5, tps=0.1))
    pieces: list[bytes] = []

    with pytest.raises(wire.library.ReadTimeout):
        wire.send(chat(stream=True), timeout=4.0, into=pieces)
    assert pieces
    assert fake.last.broke_off


def test_an_answer_in_time_does_not_time_out(fake: FakeGateway, wire: Wire) -> None:
    """An answer that takes as long as the timeout still arrives."""
    fake.reply(text("just in time").delayed(4))

    assert 200 == wire.send(timeout=4.0).status


@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault.phase != "body"])
def test_trouble_before_the_headers_is_the_librarys_own(fake: FakeGateway, wire: Wire, name: str) -> None:
    """A connection that fails raises what a real one would, in the classes of the library the client uses."""
    fake.gateway.reply(fault(name))
    expected = CATALOGUE[name]

    with pytest.raises(_class_of(wire, expected)):
        wire.send(timeout=4.0)
    assert (4.0 if expected.waits else 0.0) == fake.clock.now


@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault.phase == "body" and fault.raises])
def test_trouble_within_the_body_is_the_librarys_own(fake: FakeGateway, wire: Wire, name: str) -> None:
    """A connection that breaks raises after what had come by then."""
    fake.gateway.reply(fault(name))
    expected = CATALOGUE[name]
    pieces: list[bytes] = []

    with pytest.raises(_class_of(wire, expected)):
        wire.send(timeout=4.0, into=pieces)
    assert pieces
    assert fake.last.broke_off
    assert (4.0 if expected.waits else 0.0) == fake.clock.now


@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault.phase == "headers"])
def test_trouble_before_the_headers_is_real_on_a_port(fake: FakeGateway, port: Wire, name: str) -> None:
    """What a server can do to a client that has reached it raises what it raises in process."""
    fake.gateway.reply(fault(name))
    expected = CATALOGUE[name]

    with pytest.raises(_class_of(port, expected)):
        port.send(timeout=0.2 if expected.waits else 10)
    assert fake.last.error is None  # the exception is the client's, and the journal is this side's
    assert fake.last.broke_off


@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault.phase == "body" and fault.raises])
def test_trouble_within_the_body_is_real_on_a_port(fake: FakeGateway, port: Wire, name: str) -> None:
    """And after what had come by then."""
    fake.gateway.reply(fault(name))
    expected = CATALOGUE[name]
    pieces: list[bytes] = []

    with pytest.raises(_class_of(port, expected)):
        port.send(timeout=1.0 if expected.waits else 10, into=pieces)
    assert pieces
    assert fake.last.broke_off


def test_the_journal_tells_the_time_of_the_script(fake: FakeGateway, anywhere: Wire) -> None:
    """Latency, the gateway's waits and its timeouts are those of the script, whether anybody waits for them or not."""
    fake.reply(text("too late").delayed(9), error("overloaded"), text("Sunny").delayed(2.5))
    config = {
        "provider": "openai",
        "api_key": "k",
        "request_timeout": 4000,
        "retry": {"attempts": 2, "on_status_codes": [408, 503]},
    }

    received = anywhere.send(headers={"x-portkey-config": json.dumps(config)}, timeout=60)

    assert 200 == received.status
    first, second, third = fake.last.route.attempts
    assert (4.0, 0.0, 2.5) == (first.duration, second.duration, third.duration)
    for before, wait, after in zip((first, second), fake.last.route.waits, (second, third), strict=True):
        assert after.started == pytest.approx(before.started + (before.duration or 0.0) + wait.seconds)


def test_a_provider_that_breaks_off_ends_the_stream_early(fake: FakeGateway, anywhere: Wire) -> None:
    """The gateway cannot take back its 200, so the stream ends without [DONE], and nothing is raised."""
    fake.reply(text("It is raining cats and dogs").cut(chunks=3))

    received = anywhere.send(chat(stream=True))

    assert 200 == received.status
    assert b"raining" in received.body
    assert "[DONE]" not in received.events


def _class_of(wire: Wire, expected: WireFault) -> type[Exception]:
    assert expected.raises is not None
    raised: type[Exception] = getattr(wire.library, expected.raises)
    return raised


def test_silence_without_a_timeout_fails_the_test(fake: FakeGateway, wire: Wire) -> None:
    """What would hang for ever says so."""
    fake.gateway.reply(fault("stall_before_headers"))

    with pytest.raises(HangingRequest, match="no read timeout"):
        wire.send(timeout=None)


# httpx and httpx2 leave generators of their own behind, which trio minds.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
def test_hanging_up_early_is_noted(fake: FakeGateway, wire: Wire) -> None:
    """The journal tells a client that closed a stream from one that read it."""
    fake.reply(text("It is raining cats and dogs").streamed(by="word"))

    wire.send(chat(stream=True), at_most=2)

    assert fake.last.closed_early
    assert 2 == fake.last.chunks


def test_a_client_may_call_again(fake: FakeGateway, anywhere: Wire) -> None:
    """Answers follow the calls in order, and each call is written down."""
    fake.reply("one", "two", "three")

    assert ["one", "two", "three"] == [anywhere.send().json["choices"][0]["message"]["content"] for _ in range(3)]
    assert [1, 2, 3] == [call.number for call in fake.calls]


def test_the_gateways_other_routes_answer(anywhere: Wire) -> None:
    """The root is the gateway's greeting, as a probe in front of an application asks for it."""
    received = anywhere.send(method="GET", path="/")

    assert (200, b"AI Gateway says hey!") == (received.status, received.body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_calls_side_by_side_take_as_long_as_the_slowest(fake: FakeGateway, wire: Wire) -> None:
    """Parallel calls of 2, 3 and 3 seconds take 3, and one of 4 seconds after them ends at 7."""
    for question, seconds in (("one", 2), ("two", 3), ("three", 3), ("four", 4)):
        fake.when(message=question).reply(text(question).delayed(seconds))

    _side_by_side(wire, "one", "two", "three")

    assert 3.0 == fake.clock.now
    wire.send(chat("four"))
    assert 7.0 == fake.clock.now


def _side_by_side(wire: Wire, *questions: str) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            for question in questions:
                group.start_soon(_ask, wire, question)

    anyio.run(main, backend=wire.backend or "asyncio")


async def _ask(wire: Wire, question: str) -> None:
    options: dict[str, Any] = {} if wire.transport is None else {"transport": wire.transport()}
    async with wire.library.AsyncClient(**options) as client:
        await client.post(URL, json=chat(question), headers=HEADERS)
