"""Deadlines: for the first token and for the whole of a call, in the time of the fake; real sockets are in `wire/`."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

import portkey_client as p
from portkey_testing import FakeGateway, fault, text
from tests.client_support import MESSAGES, SIDES, URL, Body, Gateway, Side, SyncSide, chunk, completion, sse

sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])

SLOW = text("one two three four five").streamed(ttft=2, tps=0.25)
"""Two seconds to the first word, four to each of the others."""


def read(side: str, timeout: Any, **params: Any) -> str | None:
    """The text of one streamed answer."""
    options: dict[str, Any] = {"api_key": "PK", "provider": "openai", "timeout": timeout, **params}
    wanted: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}

    async def main() -> Any:
        async with p.AsyncPortkey(**options) as client:
            return await (await client.chat.completions.create(**wanted)).get_final_completion()

    def call() -> Any:
        with p.Portkey(**options) as client:
            return client.chat.completions.create(**wanted).get_final_completion()

    answer = call() if side == "sync" else asyncio.run(main())
    content: str | None = answer.choices[0].message.content
    return content


both = pytest.mark.parametrize("side", ["sync", "async"])


@both
def test_a_total_deadline_cuts_a_stream_and_keeps_the_text(side: str, portkey_fake: FakeGateway) -> None:
    """Each word is in time, the answer is not: it ends at the deadline, to the instant."""
    portkey_fake.reply(SLOW)

    with pytest.raises(p.StreamTimeoutError, match=r"total deadline, 9 s") as caught:
        read(side, p.Timeout(total=9))

    assert (9, "one two") == (portkey_fake.clock.now, caught.value.partial.choices[0].message.content)


@both
@pytest.mark.parametrize("reply", [text("late").streamed(ttft=20), text("late").streamed(ttft=20, keepalive=1)])
def test_a_first_token_deadline_is_met_by_tokens_only(side: str, reply: Any, portkey_fake: FakeGateway) -> None:
    """Neither the role that begins a stream nor a comment is a token."""
    portkey_fake.reply(reply)

    with pytest.raises(p.StreamTimeoutError, match=r"first-token deadline, 9 s"):
        read(side, p.Timeout(first_token=9))

    assert 9 == portkey_fake.clock.now


@both
def test_a_first_token_deadline_does_not_wait_for_the_head(side: str, portkey_fake: FakeGateway) -> None:
    """A provider that has not even begun to answer by then is given up, as on a real connection."""
    portkey_fake.reply(text("late").delayed(20))

    with pytest.raises(p.APITimeoutError, match=r"first-token deadline, 9 s"):
        read(side, p.Timeout(first_token=9))

    assert 9 == portkey_fake.clock.now


@both
def test_a_first_token_in_time_ends_its_deadline(side: str, portkey_fake: FakeGateway) -> None:
    """What follows it may take as long as it likes."""
    portkey_fake.reply(SLOW)

    assert "one two three four five" == read(side, p.Timeout(first_token=3, total=30))
    assert 18 == portkey_fake.clock.now


def test_a_call_that_does_not_stream_has_no_first_token(portkey_fake: FakeGateway) -> None:
    """Only its total deadline holds."""
    portkey_fake.reply(text("late").delayed(20))
    client = p.Portkey(api_key="PK", provider="openai", timeout=p.Timeout(first_token=3))
    create: Callable[..., p.ChatCompletions] = client.chat.completions.create

    assert "late" == create(model="gpt-4o", messages=MESSAGES).choices[0].message.content

    portkey_fake.reply(text("late").delayed(20))
    with pytest.raises(p.APITimeoutError, match=r"total deadline, 3 s"):
        create(model="gpt-4o", messages=MESSAGES, timeout=p.Timeout(total=3))
    assert 23 == portkey_fake.clock.now


def test_a_deadline_covers_the_retries(portkey_fake: FakeGateway) -> None:
    """What the first request took is no longer there for the second."""
    portkey_fake.gateway.reply(fault("closed_before_headers").delayed(6), fault("stall_before_headers"))
    client = p.Portkey(api_key="PK", provider="openai", timeout=p.Timeout(total=10))

    with pytest.raises(p.APITimeoutError, match=r"total deadline, 10 s") as caught:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert (10, 2) == (portkey_fake.clock.now, caught.value.attempts)


@sides
def test_a_retry_that_would_begin_too_late_is_not_made(side: Side) -> None:
    """The failure at hand says more than a deadline that was slept away."""
    gateway = Gateway(httpx.Response(503, headers={"retry-after": "20"}), completion())

    with pytest.raises(p.InternalServerError):
        side.create(side.client(gateway, timeout=p.Timeout(total=15)))
    assert [] == gateway.clock.sleeps

    side.create(side.client(Gateway(httpx.Response(503), completion()), timeout=p.Timeout(total=15)))


@sides
def test_time_spent_on_a_chunk_counts(side: Side) -> None:
    """The deadline is for the call as its caller sees it."""
    gateway = Gateway()
    body = Body(sse(chunk("It is"), done=False), lambda: gateway.clock.sleep(11), sse(chunk(finish="stop")))
    gateway.replies.append(body)

    with pytest.raises(p.StreamTimeoutError, match="total deadline") as caught:
        side.read(side.client(gateway, timeout=p.Timeout(total=10)))
    assert "It is" == caught.value.partial.choices[0].message.content


@sides
def test_the_timeouts_of_httpx_are_what_is_left_of_the_deadline(side: Side) -> None:
    """Each step may take its own time, and none more than the call has."""
    gateway = Gateway(completion())

    side.create(side.client(gateway), timeout=p.Timeout(30, connect=5, total=20))

    assert {"connect": 5, "read": 20, "write": 20, "pool": 20} == gateway.requests[0].extensions["timeout"]


def test_a_timeout_names_its_steps_and_deadlines() -> None:
    """What is not named is as usual; the text shows all of it."""
    usual = p.Timeout(total=60)

    assert {"connect": 5.0, "read": 600.0, "write": 600.0, "pool": 600.0} == usual.as_dict()
    assert "Timeout(connect=5.0, read=600.0, write=600.0, pool=600.0, total=60)" == repr(usual)
    assert "Timeout(timeout=3, first_token=1)" == repr(p.Timeout(3, first_token=1))
    assert {"connect": 1, "read": 3, "write": 3, "pool": None} == p.Timeout(3, connect=1, pool=None).as_dict()
    assert {"connect": 1, "read": 9, "write": 9, "pool": 9} == p.Timeout(httpx.Timeout(9, connect=1)).as_dict()
    assert p.Timeout(3, total=4) == p.Timeout(3, total=4) == pickle.loads(pickle.dumps(p.Timeout(3, total=4)))  # noqa: S301  # our own
    assert p.Timeout(3, total=4) != p.Timeout(3, total=5)
    assert p.Timeout(3) != httpx.Timeout(4)


def test_a_copy_keeps_the_deadlines() -> None:
    """`with_options` replaces what it names."""
    client = p.Portkey(api_key="PK", base_url=URL, timeout=p.Timeout(3, total=4))

    assert p.Timeout(3, total=4) == client.with_options(debug=True).timeout


def test_a_timeout_of_httpx2_is_one() -> None:
    """Whoever sends with httpx2 has its Timeout at hand."""
    timeouts = {"connect": 1, "read": 3, "write": 3, "pool": 3}
    gateway = Gateway(completion())

    side = SyncSide()
    side.create(side.client(gateway, timeout=httpx2.Timeout(3, connect=1)))

    assert timeouts == gateway.requests[0].extensions["timeout"]
    with pytest.raises(p.ConfigurationError, match=r"read= must be a number of seconds above 0"):
        p.Portkey(api_key="PK", timeout=httpx.Timeout(-1, connect=1))


@pytest.mark.parametrize("name", ["total", "first_token", "read"])
@pytest.mark.parametrize("value", [0, -1, True, "3"])
def test_a_deadline_must_be_seconds(name: str, value: Any) -> None:
    """The error names the argument, what was expected and what came."""
    with pytest.raises(p.ConfigurationError, match=rf"{name}= must be a number of seconds above 0"):
        p.Timeout(**{name: value})
