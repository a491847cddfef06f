"""Virtual time: waiting costs nothing, and what runs side by side overlaps."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

import anyio
import httpx
import pytest
import trio

from portkey_testing import FakeGateway, HangingRequest, VirtualClock, fault, text
from tests.fake_support import SYNC, URL, Side, body, headers, sides

UVLOOP = pytest.param("uvloop", marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not here"))
backends = pytest.mark.parametrize("backend", ["asyncio", "trio", UVLOOP])


def run(backend: str, function: Callable[[], Awaitable[Any]]) -> Any:
    """Run in an event loop of its own."""
    if backend == "uvloop":
        return anyio.run(function, backend="asyncio", backend_options={"use_uvloop": True})
    return anyio.run(function, backend=backend)


@backends
def test_parallel_waits_overlap_and_later_ones_follow(backend: str) -> None:
    """Three tasks that wait 2, 3 and 3 seconds take 3; the 4 after them make 7."""
    clock = VirtualClock()
    order: list[float] = []

    async def wait(seconds: float) -> None:
        await clock.asleep(seconds)
        order.append(seconds)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for seconds in (3, 2, 3):
                tasks.start_soon(wait, seconds)
        await wait(4)

    run(backend, main)

    assert 7.0 == clock.now
    assert [2, 3, 3, 4] == order


@backends
def test_the_faster_answer_comes_first(backend: str) -> None:
    """Of parallel calls, whatever the order they were made in."""
    fake = FakeGateway()
    for seconds in (3, 1, 2):
        fake.when(message=f"{seconds}").reply(text(f"{seconds}").delayed(seconds))
    order: list[str] = []

    async def ask(client: httpx.AsyncClient, question: str) -> None:
        request = body(messages=[{"role": "user", "content": question}])
        answer = await client.post(URL, json=request, headers=headers())
        order.append(answer.json()["choices"][0]["message"]["content"])

    async def main() -> None:
        async with httpx.AsyncClient(transport=fake.transport()) as client, anyio.create_task_group() as tasks:
            for question in "312":
                tasks.start_soon(ask, client, question)

    run(backend, main)

    assert ["1", "2", "3"] == order
    assert 3.0 == fake.clock.now
    assert [1, 2, 3] == [call.number for call in fake.calls]
    fake.verify()


@sides
def test_ten_minutes_take_no_time(side: Side) -> None:
    """Waiting is free."""
    fake = FakeGateway()
    fake.reply(text("at last").delayed(600))
    began = time.monotonic()

    answer = side.ask(fake, timeout=None)

    assert "at last" == answer.said
    assert 600.0 == fake.clock.now
    assert time.monotonic() - began < 60


@sides
def test_a_read_timeout_runs_out_on_the_clock(side: Side) -> None:
    """A slow answer is a timeout after as long as the client would wait."""
    fake = FakeGateway()
    fake.reply(text("too late").delayed(30))

    with pytest.raises(httpx.ReadTimeout):
        side.ask(fake, timeout=10.0)

    assert 10.0 == fake.clock.now


@sides
def test_a_pause_within_a_stream_runs_into_the_read_timeout(side: Side) -> None:
    """What came before is there."""
    fake = FakeGateway()
    fake.reply(text("one two three").streamed(tps=0.05))

    answer = side.ask(fake, body(stream=True), timeout=10.0)

    assert "one" == answer.said
    assert isinstance(answer.error, httpx.ReadTimeout)
    assert 10.0 == fake.clock.now


def test_each_thread_has_its_own_time() -> None:
    """Two threads that wait side by side take no longer than one."""
    clock = VirtualClock()
    times: list[float] = []

    def work(seconds: float) -> None:
        clock.sleep(seconds)
        clock.sleep(seconds)
        times.append(clock.time())

    threads = [threading.Thread(target=work, args=(seconds,)) for seconds in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [2.0, 4.0] == sorted(times)
    assert 4.0 == clock.now


def test_calls_in_one_thread_follow_each_other() -> None:
    """Each begins when the one before it ended."""
    fake = FakeGateway()
    fake.always(text("hi").delayed(2))

    SYNC.ask_all(fake, [body()] * 3)

    assert [0.0, 2.0, 4.0] == [call.started for call in fake.calls]
    assert [2.0] * 3 == [call.duration for call in fake.calls]


async def through_asyncio(seconds: float, work: Awaitable[Any]) -> str:
    """A deadline as asyncio has it."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return "timed out"
    return "in time"


async def through_wait_for(seconds: float, work: Awaitable[Any]) -> str:
    """A deadline as asyncio has had it for long."""
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return "timed out"
    return "in time"


async def through_anyio(seconds: float, work: Awaitable[Any]) -> str:
    """A deadline as anyio has it, on either loop."""
    with anyio.move_on_after(seconds):
        await work
        return "in time"
    return "timed out"


async def through_trio(seconds: float, work: Awaitable[Any]) -> str:
    """A deadline as trio has it."""
    with trio.move_on_after(seconds):
        await work
        return "in time"
    return "timed out"


IN_ASYNCIO = (through_asyncio, through_wait_for, through_anyio)
DEADLINES = [
    *(("asyncio", deadline) for deadline in IN_ASYNCIO),
    ("trio", through_anyio),
    ("trio", through_trio),
    *(pytest.param("uvloop", deadline, marks=UVLOOP.marks) for deadline in IN_ASYNCIO),
]


@pytest.mark.parametrize(("backend", "deadline"), DEADLINES, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize(("latency", "outcome"), [(30.0, "timed out"), (5.0, "in time")])
def test_a_deadline_of_the_application_fires(backend: str, deadline: Any, latency: float, outcome: str) -> None:
    """One that is shorter than the scripted latency does, without waiting for it; a longer one does not."""
    fake = FakeGateway()
    fake.reply(text("hi").delayed(latency))
    began = time.monotonic()

    async def main() -> str:
        async with httpx.AsyncClient(transport=fake.transport(), timeout=None) as client:  # noqa: S113  # the deadline is the application's
            found: str = await deadline(20.0, client.post(URL, json=body(), headers=headers()))
            return found

    assert outcome == run(backend, main)
    assert min(latency, 20.0) == pytest.approx(fake.clock.now, abs=0.5)
    assert time.monotonic() - began < 10


@backends
def test_a_deadline_fires_between_the_chunks_of_a_stream(backend: str) -> None:
    """What came before it is there, and the stream is closed."""
    fake = FakeGateway()
    fake.reply(text("one two three four").streamed(tps=0.1))
    read: list[bytes] = []

    async def main() -> None:
        async with httpx.AsyncClient(transport=fake.transport(), timeout=None) as client:  # noqa: S113  # as above
            with anyio.move_on_after(15):
                async with client.stream("POST", URL, json=body(stream=True), headers=headers()) as response:
                    async for piece in response.aiter_raw():
                        read.append(piece)  # noqa: PERF401  # what was read before the deadline counts

    run(backend, main)

    assert b'"content":" two"' in read[-1]
    assert fake.last.closed_early


@backends
def test_a_task_that_ticks_for_ever_does_not_hide_a_hanging_request(backend: str) -> None:
    """Its timers fire meanwhile, but nothing ends the wait."""
    fake = FakeGateway()
    fake.gateway.reply(fault("stall_before_headers"))
    seen: list[BaseException] = []

    async def tick() -> None:
        while True:  # noqa: ASYNC110  # an application that polls is what this is about
            await anyio.sleep(1)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            async with httpx.AsyncClient(transport=fake.transport(), timeout=None) as client:  # noqa: S113  # as above
                try:
                    await client.post(URL, json=body(), headers=headers())
                except HangingRequest as failure:
                    seen.append(failure)
            tasks.cancel_scope.cancel()

    run(backend, main)

    assert 1 == len(seen)


@backends
@pytest.mark.parametrize("timeout", [100.0, None])
def test_a_deadline_ends_an_answer_that_never_comes(backend: str, timeout: float | None) -> None:
    """Silence is as long as the application waits, whether or not its client would wait for ever."""
    fake = FakeGateway()
    fake.gateway.reply(fault("stall_before_headers"))

    async def main() -> bool:
        async with httpx.AsyncClient(transport=fake.transport(), timeout=timeout) as client:
            with anyio.move_on_after(7) as scope:
                await client.post(URL, json=body(), headers=headers())
            return scope.cancelled_caught

    assert run(backend, main)
    assert 7.0 == pytest.approx(fake.clock.now, abs=0.5)
