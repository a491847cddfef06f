"""aiohttp, and what sends through it: in process, in virtual time, with its own timeouts and exceptions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from portkey_testing import (
    BrokenScript,
    EscapedRequest,
    FakeGateway,
    HangingRequest,
    UnscriptedRequest,
    error,
    fault,
    text,
)
from tests.contract.conftest import HEADERS, URL, chat

T = TypeVar("T")

Talk = Callable[[aiohttp.ClientSession], Awaitable[T]]


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A mounted fake."""
    gateway = FakeGateway()
    with gateway.mounted():
        yield gateway


def run(talk: Talk[T], **session: Any) -> T:
    """What comes of talking to the gateway in a session."""

    async def main() -> T:
        async with aiohttp.ClientSession(headers=HEADERS, **session) as client:
            return await talk(client)

    return asyncio.run(main())


async def ask(client: aiohttp.ClientSession) -> tuple[int, Any]:
    """Status and JSON of an ordinary request."""
    async with client.post(URL, json=chat()) as response:
        return response.status, await response.json()


async def listen(client: aiohttp.ClientSession) -> list[bytes]:
    """The lines of a streamed answer that are not empty."""
    async with client.post(URL, json=chat(stream=True)) as response:
        return [line async for line in response.content if line.strip()]


def test_an_answer(fake: FakeGateway) -> None:
    """Requests are seen as they were sent, and answered with what was scripted."""
    fake.reply("Sunny")

    status, body = run(ask)

    assert (200, "Sunny") == (status, body["choices"][0]["message"]["content"])
    assert fake.last.request.headers["user-agent"].startswith("Python/")
    assert "Weather?" == fake.last.request.messages[0]["content"]


def test_a_request_in_pieces(fake: FakeGateway) -> None:
    """A body of unknown length arrives whole, also where its sender wants to be told to go on first."""
    fake.reply("Sunny")

    async def talk(client: aiohttp.ClientSession) -> int:
        async def pieces() -> Any:
            for byte in json.dumps(chat()).encode():
                yield bytes([byte])

        kind = {"content-type": "application/json"}
        async with client.post(URL, data=pieces(), headers=kind, expect100=True) as response:
            return response.status

    assert 200 == run(talk)
    assert "Weather?" == fake.last.request.messages[0]["content"]


def test_a_stream_takes_its_time_and_none(fake: FakeGateway) -> None:
    """Events come one by one, at the scripted times of the virtual clock."""
    fake.reply(text("It is sunny").streamed(by="word", ttft=2.0, tps=1.0))
    times = []

    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.post(URL, json=chat(stream=True)) as response:
            times.extend([fake.clock.now async for line in response.content if b'"content":' in line])

    run(talk)

    assert [2.0, 2.0, 3.0, 4.0] == times  # the role comes with the first word


def test_a_long_stream_waits_for_its_reader(fake: FakeGateway) -> None:
    """What is not read yet is not there yet: aiohttp holds the connection as it holds a socket."""
    fake.reply(text("word " * 20_000).streamed(by="word"))

    async def talk(client: aiohttp.ClientSession) -> tuple[int, int]:
        async with client.post(URL, json=chat(stream=True)) as response:
            await response.content.readline()
            for _ in range(1000):
                await asyncio.sleep(0)
            before = fake.last.chunks
            size = sum([len(line) async for line in response.content])
        return before, size

    before, size = run(talk)

    assert before < 10_000
    assert 2_000_000 < size


def test_hanging_up(fake: FakeGateway) -> None:
    """A response that is closed early is an answer that nobody heard to its end."""
    fake.reply(text("It is sunny and warm").streamed(by="word", tps=1.0))

    async def talk(client: aiohttp.ClientSession) -> None:
        response = await client.post(URL, json=chat(stream=True))
        await response.content.readline()
        response.close()
        await asyncio.sleep(0)

    run(talk)

    assert fake.last.closed_early


def test_parallel_calls_overlap(fake: FakeGateway) -> None:
    """Ten answers that take two seconds take two seconds."""
    fake.always(text("Sunny").delayed(2.0))

    async def talk(client: aiohttp.ClientSession) -> list[tuple[int, Any]]:
        return list(await asyncio.gather(*(ask(client) for _ in range(10))))

    assert [200] * 10 == [status for status, _ in run(talk)]
    assert 2.0 == pytest.approx(fake.clock.now)


@pytest.mark.parametrize("timeout", [{"total": 3.0}, {"sock_read": 3.0}], ids=str)
def test_its_timeouts_strike(fake: FakeGateway, timeout: dict[str, float]) -> None:
    """They run on the virtual clock, before the headers as in a silence of the stream."""
    fake.gateway.reply(text("Sunny").delayed(60.0), fault("stall_before_headers"))
    fake.gateway.reply(text("It is sunny").cut(chunks=1, fault="stall"))

    for talk in (ask, ask, listen):
        with pytest.raises(TimeoutError):
            run(talk, timeout=aiohttp.ClientTimeout(**timeout))

    assert 3.0 <= fake.clock.now < 60.0


BROKEN = {
    "refused": aiohttp.ClientConnectorError,
    "dns": aiohttp.ClientConnectorError,
    "reset_before_headers": aiohttp.ClientOSError,
    "closed_before_headers": aiohttp.ServerDisconnectedError,
}


@pytest.mark.parametrize(("name", "raised"), BROKEN.items(), ids=BROKEN)
def test_a_connection_that_breaks(fake: FakeGateway, name: str, raised: type[Exception]) -> None:
    """A fault on the way to the gateway raises what a socket would make aiohttp raise."""
    fake.gateway.reply(fault(name))

    with pytest.raises(raised):
        run(ask)


@pytest.mark.parametrize("name", ["dropped", "reset"])
def test_a_stream_that_breaks_off(fake: FakeGateway, name: str) -> None:
    """What came before is delivered, and then aiohttp says that the rest is missing."""
    fake.gateway.reply(text("It is sunny").streamed(by="word").cut(chunks=2, fault=name))
    heard = []

    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.post(URL, json=chat(stream=True)) as response:
            async for line in response.content:
                heard.append(line)  # noqa: PERF401  # it is kept although the rest does not come

    with pytest.raises(aiohttp.ClientPayloadError):
        run(talk)
    assert 2 == sum(b'"content":"' in line.replace(b": ", b":") and b'""' not in line for line in heard)


def test_an_error_is_an_answer(fake: FakeGateway) -> None:
    """Its status and its headers arrive."""
    fake.reply(error("rate_limited", retry_after=20))

    async def talk(client: aiohttp.ClientSession) -> tuple[int, str]:
        async with client.post(URL, json=chat()) as response:
            return response.status, response.headers["retry-after"]

    assert (429, "20") == run(talk)


def test_failures_arrive_as_themselves(fake: FakeGateway) -> None:
    """An unscripted request, and a client that would wait for ever, fail where they happen."""
    with pytest.raises(UnscriptedRequest):
        run(ask)
    fake.gateway.reply(fault("stall_before_headers"))
    with pytest.raises(HangingRequest):
        run(ask, timeout=aiohttp.ClientTimeout())


def test_what_a_script_raises_arrives(fake: FakeGateway) -> None:
    """A function of the test that fails does so where the request was made."""

    def broken(_: object) -> str:
        raise LookupError("mine")

    fake.reply(broken)

    with pytest.raises(BrokenScript, match="LookupError: mine"):
        run(ask)


def test_other_requests_go_their_way(fake: FakeGateway, server: str) -> None:
    """A session that talks to the gateway talks to other services as well, on this machine."""
    fake.reply("Sunny")

    async def talk() -> tuple[int, str]:
        async with aiohttp.ClientSession() as client:
            async with client.post(URL, json=chat(), headers=HEADERS) as response:
                status = response.status
            async with client.get(server) as response:
                return status, await response.text()

    assert (200, "local") == asyncio.run(talk())
    with pytest.raises(EscapedRequest):
        asyncio.run(_get("http://example.com/"))


async def _get(url: str) -> int:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status


def test_a_late_import_is_answered_too(tmp_path: Path) -> None:
    """A test, or what it calls, may import its SDK when it needs it. Once the mount ends nobody waits for that."""
    script = tmp_path / "late.py"
    script.write_text(
        f"""
import asyncio, sys
from portkey_testing import EscapedRequest, FakeGateway

async def status(url):
    import aiohttp
    async with aiohttp.ClientSession(headers={HEADERS!r}) as client, client.post(url, json={chat()!r}) as response:
        return response.status

before = list(sys.meta_path)
with FakeGateway().mounted():
    assert before != sys.meta_path
assert before == sys.meta_path
fake = FakeGateway()
fake.reply("hi")
with fake.mounted():
    assert "aiohttp" not in sys.modules
    print(asyncio.run(status({URL!r})))
    connect = sys.modules["aiohttp"].TCPConnector.connect
assert before == sys.meta_path
assert connect is not sys.modules["aiohttp"].TCPConnector.connect
"""
    )

    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)

    assert ("200\n", "") == (result.stdout, result.stderr)


def test_nothing_is_left_when_the_mount_ends() -> None:
    """Connecting is again what it was."""
    before = aiohttp.TCPConnector.connect
    with FakeGateway().mounted():
        assert before is not aiohttp.TCPConnector.connect
    assert before is aiohttp.TCPConnector.connect
