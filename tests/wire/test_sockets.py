"""The life of a connection: deadlines, cancelling, leaving early, threads, loops, processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import anyio
import httpx
import pytest
import trio

import portkey_client as p
from tests.client_support import MESSAGES, chunk, completion, sse
from tests.wire.scripts import (
    CUT,
    EVENTS,
    SSE,
    answering,
    chunked,
    drip,
    head,
    in_turn,
    nothing,
    of_length,
    reset,
    stall,
    whole,
)
from tests.wire.server import CERTIFICATES, TICK, Connection, Script, Server
from tests.wire.test_faults import SOON, TEXT, active

DEADLINE: Final = 0.2
LONGER: Final = 3 * DEADLINE
"""Time for something to come first, on a machine with other things to do."""
LOOPS: Final[dict[str, Callable[[Callable[[], Any]], Any]]] = {
    "asyncio": lambda main: asyncio.run(main()),
    "anyio": anyio.run,
    "trio": trio.run,
}
loops = pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    """Starts servers, and stops them."""
    with contextlib.ExitStack() as stack:

        def start(script: Script, **options: Any) -> Server:
            server = Server(script, **options)
            stack.callback(server.close)
            return server

        yield start


def keep_alive(connection: Connection) -> None:
    """Answer every request, with its own question."""
    while connection.request():
        connection.send(whole(json.dumps(completion(TEXT)).encode()))


def pause(connection: Connection) -> None:
    """Give the client time to read what came so far."""
    select.select([connection.socket], [], [], 2 * TICK)


def awaiting(event: threading.Event) -> Callable[[Connection], None]:
    """Wait for what the client does."""

    def wait(_: Connection) -> None:
        event.wait(SOON)

    return wait


def content(answer: p.ChatCompletions) -> str | None:
    """Its text."""
    return answer.choices[0].message.content


EVENT: Final = sse(chunk("more "), done=False)
ROLE: Final = sse(chunk(role="assistant", content=""), done=False)
DRIPS: Final[dict[str, tuple[Script, p.Timeout, bool, str]]] = {
    "head": (answering(b"HTTP/1.1 200 OK\r\n", drip(b"x: 1\r\n")), p.Timeout(total=DEADLINE), False, "total deadline"),
    "body": (answering(of_length(b"999", b""), drip(b" ")), p.Timeout(total=DEADLINE), False, "total deadline"),
    "stalled body": (answering(of_length(b"999", b""), stall), p.Timeout(total=DEADLINE), False, "total deadline"),
    "head of a stream": (answering(drip(b"HTTP/1.1 100 Continue\r\n\r\n")), p.Timeout(total=DEADLINE), True, "total"),
    "chunks": (answering(head(kind=SSE), drip(EVENT)), p.Timeout(total=LONGER), True, "total deadline"),
    "stalled stream": (answering(head(kind=SSE), EVENT, stall), p.Timeout(total=LONGER), True, "total deadline"),
    "roles": (answering(head(kind=SSE), drip(ROLE)), p.Timeout(first_token=DEADLINE), True, "first-token deadline"),
    "nothing": (answering(head(kind=SSE), stall), p.Timeout(first_token=DEADLINE), True, "first-token deadline"),
}  # fmt: skip


SPEAKING: Final = (DRIPS["chunks"][0], DRIPS["stalled stream"][0])


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("script", "timeout", "streamed", "words"), DRIPS.values(), ids=DRIPS)
def test_a_deadline_holds_however_the_answer_drips(
    script: Script, timeout: p.Timeout, words: str, serve: Any, *, streamed: bool, asynchronous: bool
) -> None:
    """Each read is in time, or one never ends: the call is over at its deadline, and nothing is left in use."""
    server = serve(script)

    def call() -> None:
        with httpx.Client() as http:
            client = p.Portkey(api_key="PK", base_url=server.url, http_client=http)
            try:
                answer = client.chat.completions.create(messages=MESSAGES, stream=streamed, timeout=timeout)
                for _ in answer:
                    pass
            finally:
                assert 0 == active(http)

    async def acall() -> None:
        async with httpx.AsyncClient() as http:
            client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
            try:
                answer: Any = await client.chat.completions.create(messages=MESSAGES, stream=streamed, timeout=timeout)
                async for _ in answer:
                    pass
            finally:
                assert 0 == active(http)

    with pytest.raises(p.APITimeoutError, match=words) as caught:
        asyncio.run(acall()) if asynchronous else call()
    if script in SPEAKING:
        assert isinstance(caught.value, p.StreamTimeoutError)
        assert (content(caught.value.partial) or "").startswith("more ")
    assert 1 == len(server.requests)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_deadline_holds_however_slowly_the_request_is_taken(serve: Any, *, asynchronous: bool) -> None:
    """A server that goes on reading a little keeps the write timeout from running out."""

    def sip(connection: Connection) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while connection.socket.recv(1 << 16):
            pause(connection)

    server = serve(sip)
    options: dict[str, Any] = {"api_key": "PK", "base_url": server.url, "timeout": p.Timeout(total=DEADLINE)}
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "a" * (16 << 20)}]}

    async def acall() -> None:
        async with p.AsyncPortkey(**options) as client:
            await client.chat.completions.create(**asked)

    began = time.monotonic()
    with pytest.raises(p.APITimeoutError, match="total deadline"):
        asyncio.run(acall()) if asynchronous else p.Portkey(**options).chat.completions.create(**asked)
    assert time.monotonic() - began < SOON


def test_a_first_token_in_time_lifts_its_deadline(serve: Any) -> None:
    """What comes after the first token may take longer."""
    server = serve(answering(head(kind=SSE), EVENT, drip(b": \n\n")))

    with p.Portkey(api_key="PK", base_url=server.url, timeout=p.Timeout(2 * LONGER, first_token=LONGER)) as client:
        stream = client.chat.completions.create(messages=MESSAGES, stream=True)
        with pytest.raises(p.StreamTimeoutError, match="read timeout"):
            list(stream)


def test_the_own_client_is_guarded_as_well(serve: Any) -> None:
    """Without `http_client=` a head that drips is cut off, and an unasked answer refused."""
    dripping = serve(answering(b"HTTP/1.1 200 OK\r\n", drip(b"x: 1\r\n")))
    splitting = serve(in_turn(whole() + whole(json.dumps(completion("not yours")).encode()), whole()))

    with p.Portkey(api_key="PK", base_url=dripping.url, timeout=DEADLINE) as client, pytest.raises(p.APITimeoutError):
        client.chat.completions.create(messages=MESSAGES)
    with p.Portkey(api_key="PK", base_url=splitting.url) as client:
        assert TEXT == content(client.chat.completions.create(messages=MESSAGES))
        with pytest.raises(p.APIConnectionError, match="before the request was sent"):
            client.chat.completions.create(messages=MESSAGES)
        assert TEXT == content(client.chat.completions.create(messages=MESSAGES))


def test_a_users_own_requests_are_left_alone(serve: Any) -> None:
    """The deadlines of a call end with it: other requests on the same connection have the timeouts of their client."""
    server = serve(keep_alive)

    with httpx.Client() as http:
        client = p.Portkey(api_key="PK", base_url=server.url, http_client=http)
        client.chat.completions.create(messages=MESSAGES, timeout=p.Timeout(total=30))
        assert 200 == http.post(server.url, json={}).status_code
        client.chat.completions.create(messages=MESSAGES)
        assert 1 == len(http._transport._pool.connections)  # type: ignore[attr-defined]  # nothing public tells


def test_a_body_longer_than_it_says_taints_its_connection(serve: Any) -> None:
    """The rest of it stands in the way of the next answer, so the next call has another connection."""
    server = serve(in_turn(of_length(b"50"), whole()))

    with p.Portkey(api_key="PK", base_url=server.url) as client:
        with pytest.raises(p.APIResponseValidationError):
            client.chat.completions.create(messages=MESSAGES)
        assert TEXT == content(client.chat.completions.create(messages=MESSAGES))
    assert 2 == len(server.requests)


def test_a_connection_that_was_kept_too_long_says_so(serve: Any) -> None:
    """Without retries the race with a server that closes an idle connection is told apart from a broken one."""
    server = serve(in_turn(whole(), nothing))

    with p.Portkey(api_key="PK", base_url=server.url, max_retries=0) as client:
        client.chat.completions.create(messages=MESSAGES)
        with pytest.raises(p.APIConnectionError, match="reused connection"):
            client.chat.completions.create(messages=MESSAGES)


@pytest.mark.parametrize("streamed", [False, True])
@loops
def test_cancelling_takes_effect_at_once(run: Any, serve: Any, *, streamed: bool) -> None:
    """Before the head, in a body and in a stream: nothing is sent again, and no connection stays in use."""
    scripts = [answering(stall), answering(chunked(CUT), stall) if streamed else answering(of_length(b"999"), stall)]

    async def main() -> None:
        for script in scripts:
            server = serve(script)
            async with httpx.AsyncClient() as http:
                client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
                with anyio.move_on_after(DEADLINE) as scope:
                    answer: Any = await client.chat.completions.create(messages=MESSAGES, stream=streamed)
                    async for _ in answer:
                        pass
                assert scope.cancelled_caught
                assert 0 == active(http)
                assert 1 == len(server.requests)

    run(main)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx's generators, on trio
@loops
def test_leaving_a_loop_over_an_async_stream_hangs_up(run: Any, serve: Any) -> None:
    """After `break` the connection is free in the next rounds of the loop, although the stream is in a variable."""
    server = serve(answering(chunked(CUT), stall))

    async def main() -> None:
        async with httpx.AsyncClient() as http:
            client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
            stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
            async for _ in stream:
                assert 1 == active(http)
                break
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert 0 == active(http)
            assert stream.gateway.trace_id is None

    run(main)


@loops
def test_an_async_stream_that_nobody_reads_hangs_up(run: Any, serve: Any) -> None:
    """Dropped before its first chunk, a stream lets go of its connection in the next rounds of the loop."""
    server = serve(answering(chunked(CUT), stall))

    async def main() -> None:
        async with httpx.AsyncClient() as http:
            client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
            await client.chat.completions.create(messages=MESSAGES, stream=True)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert 0 == active(http)

    run(main)


def test_a_stream_that_nobody_reads_hangs_up(serve: Any) -> None:
    """The same without a loop, at once."""
    server = serve(answering(chunked(CUT), stall))

    with httpx.Client() as http:
        client = p.Portkey(api_key="PK", base_url=server.url, http_client=http)
        client.chat.completions.create(messages=MESSAGES, stream=True)
        assert 0 == active(http)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("end", [b"", reset], ids=["closed", "reset"])
def test_a_tls_connection_that_breaks_is_no_tls_failure(end: Any, serve: Any, *, asynchronous: bool) -> None:
    """What breaks inside a stream is the connection; certificate and handshake were fine."""
    arrived = threading.Event()
    server = serve(answering(chunked(CUT), awaiting(arrived), end), certificate="trusted.pem")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(CERTIFICATES / "ca.pem")

    def call() -> None:
        with httpx.Client(verify=trusting) as http:
            client = p.Portkey(api_key="PK", base_url=server.url, http_client=http)
            for _ in client.chat.completions.create(messages=MESSAGES, stream=True):
                arrived.set()

    async def acall() -> None:
        async with httpx.AsyncClient(verify=trusting) as http:
            client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
            async for _ in await client.chat.completions.create(messages=MESSAGES, stream=True):
                arrived.set()

    with pytest.raises(p.StreamConnectionError) as caught:
        asyncio.run(acall()) if asynchronous else call()
    assert TEXT == content(caught.value.partial)
    assert "TLS" not in str(caught.value)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_stream_outlives_the_last_mention_of_its_client(serve: Any, *, asynchronous: bool) -> None:
    """A client that nobody names any more goes with its connections, but not before its streams are read."""
    server = serve(answering(head(kind=SSE), EVENT, pause, EVENTS))

    def call() -> p.ChatCompletions:
        client = p.Portkey(api_key="PK", base_url=server.url)
        stream = client.chat.completions.create(messages=MESSAGES, stream=True)
        del client
        return stream.get_final_completion()

    async def acall() -> p.ChatCompletions:
        client = p.AsyncPortkey(api_key="PK", base_url=server.url)
        stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
        del client
        return await stream.get_final_completion()

    assert f"more {TEXT}" == content(asyncio.run(acall()) if asynchronous else call())
    assert server.wait_for_an_end()


@pytest.mark.parametrize("first", ["client", "socket"])
def test_a_client_that_nobody_closed_closes_its_connections(serve: Any, first: str) -> None:
    """They go with it, and without a warning, whichever of them the garbage collector comes to first."""
    server = serve(keep_alive)
    client = p.Portkey(api_key="PK", base_url=server.url)
    if first == "socket":
        gc.freeze()  # what is thawed takes its place behind what has been collected since
    client.chat.completions.create(messages=MESSAGES)
    gc.collect()
    gc.unfreeze()

    del client
    gc.collect()

    assert server.wait_for_an_end()


@loops
def test_an_async_client_that_nobody_closed_closes_its_connections(run: Any, serve: Any) -> None:
    """In the next rounds of its loop, and without a warning."""
    server = serve(keep_alive)

    async def main() -> None:
        client = p.AsyncPortkey(api_key="PK", base_url=server.url)
        await client.chat.completions.create(messages=MESSAGES)
        del client
        gc.collect()
        assert await anyio.to_thread.run_sync(server.wait_for_an_end)

    run(main)


def test_closing_a_stream_wakes_the_thread_that_reads_it(serve: Any) -> None:
    """The reader is told at once, not when its timeout is over."""
    server = serve(answering(chunked(CUT), stall))

    with httpx.Client() as http:
        client = p.Portkey(api_key="PK", base_url=server.url, http_client=http)
        stream = client.chat.completions.create(messages=MESSAGES, stream=True)
        chunks = iter(stream)
        assert "It is" == next(chunks).choices[0].delta.content
        next(chunks)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(list, chunks)
            while not chunks.gi_running:  # type: ignore[attr-defined]  # a generator, and the thread has not begun
                pass
            stream.close()
            with pytest.raises(p.StreamConnectionError):
                reading.result()
        assert 0 == active(http)


def test_one_client_serves_many_threads(serve: Any) -> None:
    """Each call gets its own answer."""
    server = serve(keep_alive)

    with p.Portkey(api_key="PK", base_url=server.url) as client, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.chat.completions.create, messages=MESSAGES) for _ in range(64)]

    assert [TEXT] * 64 == [content(call.result()) for call in calls]


def test_one_async_client_serves_many_loops(serve: Any) -> None:
    """Loops that follow one another, and loops in threads of their own at the same time."""
    server = serve(keep_alive)
    client = p.AsyncPortkey(api_key="PK", base_url=server.url)

    async def calls() -> list[str | None]:
        answers = [client.chat.completions.create(messages=MESSAGES) for _ in range(4)]
        return [content(answer) for answer in await asyncio.gather(*answers)]

    assert [TEXT] * 4 == asyncio.run(calls()) == asyncio.run(calls())
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(asyncio.run, calls()) for _ in range(4)]
    assert [[TEXT] * 4] * 4 == [run.result() for run in runs]


FORK: Final = """
import os, sys, portkey_client
client = portkey_client.Portkey(api_key="PK", base_url=sys.argv[1])
ask = lambda: client.chat.completions.create(messages=[{"role": "user", "content": "Weather?"}])
ask()
child = os.fork()
for _ in range(3):
    assert "It is raining" == ask().choices[0].message.content
if child:
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_a_forked_process_has_connections_of_its_own(serve: Any) -> None:
    """Parent and child go on asking with the same client, and neither hears the other's answers."""
    server = serve(keep_alive)

    subprocess.run([sys.executable, "-c", FORK, server.url], check=True, timeout=60)

    assert 7 == len(server.requests)
    assert 2 == server.accepted


@loops
def test_a_loop_that_ends_closes_its_connections(run: Any, serve: Any) -> None:
    """A client that nobody closed leaves nothing open behind a loop, and serves the next one."""
    server = serve(keep_alive)
    client = p.AsyncPortkey(api_key="PK", base_url=server.url)

    async def main() -> None:
        assert TEXT == content(await client.chat.completions.create(messages=MESSAGES))

    for _ in range(2):
        run(main)
        assert server.wait_for_an_end()
