"""Streams: whole answers, cut ones, and everything that is neither; sync and async alike."""

from __future__ import annotations

import asyncio
import gc
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import portkey_client as p
from tests.client_support import (
    GATEWAY_HEADERS,
    MESSAGES,
    SIDES,
    AsyncSide,
    Body,
    Gateway,
    Piece,
    Side,
    SyncSide,
    chunk,
    completion,
    sse,
    text_of,
)

sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])
RAINING = (chunk("", role="assistant"), chunk("It is"), chunk(" raining"))
WHOLE = sse(*RAINING, chunk(finish="stop"))
CASES = Path(__file__).parent / "data" / "sse_cases.yaml"


def failure(side: Side, reply: Any, chunks: list[p.ChatCompletionChunk] | None = None, **params: Any) -> p.APIError:
    """What reading the stream raises."""
    with pytest.raises(p.APIError) as caught:
        side.read(side.client(Gateway(reply)), chunks, **params)
    return caught.value


def partial_text(error: p.APIError) -> str | None:
    """The text that had arrived."""
    assert error.partial is not None
    return error.partial.choices[0].message.content


@sides
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_whole_stream_is_read_in_any_pieces(side: Side, size: int) -> None:
    """Chunks come out alike however the bytes were cut into reads."""
    chunks: list[p.ChatCompletionChunk] = []
    body = Body(*[WHOLE[i : i + size] for i in range(0, len(WHOLE), size)])

    stream = side.read(side.client(Gateway(body)), chunks)

    assert "It is raining" == text_of(chunks)
    assert ["", "It is", " raining", None] == [c.choices[0].delta.content for c in chunks]
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert "It is raining" == stream.partial.choices[0].message.content
    assert body.closed


@sides
def test_the_gateways_facts_are_there_before_the_first_chunk(side: Side) -> None:
    """`.gateway`, `.response` and `get_headers()` need no reading."""
    client = side.client(Gateway(WHOLE))
    stream: Any = side.run(lambda: client.chat.completions.create(messages=MESSAGES, stream=True))  # type: ignore[arg-type,return-value]  # either kind

    assert "config.targets[1]" == stream.gateway.target
    assert "trace-1" == stream.get_headers()["trace-id"]
    assert 200 == stream.response.status_code


@sides
@pytest.mark.parametrize("end", [b"", b": the end\n\n", b'data: {"id": "half'])
def test_a_cut_stream_raises_with_what_had_arrived(side: Side, end: bytes) -> None:
    """An end without `[DONE]` and without a finish reason is never silent."""
    chunks: list[p.ChatCompletionChunk] = []

    error = failure(side, sse(*RAINING, done=False) + end, chunks)

    assert p.IncompleteStreamError is type(error)
    assert "It is raining" == text_of(chunks) == partial_text(error)
    assert "trace-1" == error.gateway.trace_id
    assert str(error).startswith("Error code: 200 - ")
    assert "config.targets[1]" in str(error)


@sides
def test_every_choice_needs_its_finish_reason(side: Side) -> None:
    """One of two choices finished is half an answer; both finished is a whole one, even without `[DONE]`."""
    both = [chunk("a"), chunk("b", index=1), chunk(finish="stop")]

    assert "choice 1" in str(failure(side, sse(*both, done=False)))
    assert side.read(side.client(Gateway(sse(*both, chunk(index=1, finish="length"), done=False)))) is not None


@sides
def test_a_stream_without_a_single_chunk_is_an_error(side: Side) -> None:
    """Nothing, an HTML page or bare JSON under the type of events: the text says what came."""
    assert "nothing" in str(failure(side, b""))
    assert "502 Bad Gateway" in str(failure(side, b"<html>502 Bad Gateway</html>\n"))
    error = failure(side, b'{"error": {"message": "boom-4711", "type": "server_error"}}\n')
    assert p.StreamError is type(error)
    assert ("boom-4711" in str(error), "server_error") == (True, error.type)


@sides
@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8", "application/problem+json"])
def test_a_body_that_is_no_stream_is_an_error(side: Side, kind: str) -> None:
    """A server that ignored `stream=True`, or a login page, is told from a stream by its type."""
    reply = httpx.Response(200, json=completion(), headers={**GATEWAY_HEADERS, "content-type": kind})

    error = failure(side, reply)

    assert isinstance(error, p.APIResponseValidationError)
    assert "It is raining" in str(error)
    assert "It is raining" in error.response.text


@sides
def test_an_empty_answer_to_a_stream_is_an_error(side: Side) -> None:
    """204 brings no stream."""
    assert "empty body" in str(failure(side, httpx.Response(204)))


@sides
@pytest.mark.parametrize(
    ("event", "words", "kind"),
    [
        ({"error": {"message": "Overloaded", "type": "overloaded_error"}}, "Overloaded", "overloaded_error"),
        ({"error": "model is overloaded"}, "model is overloaded", None),
        ({"error": {"message": "", "type": "server_error"}}, "server_error", "server_error"),
        ({**chunk(""), "error": {"message": "Provider disconnected", "code": 502}}, "Provider disconnected", None),
        ({"status": "failure", "message": "Something went wrong"}, "Something went wrong", "failure"),
        (b"event: error\ndata: plain words", "plain words", None),
        (b'event: error\ndata: {"message": "in its own shape"}', "in its own shape", None),
        (chunk("", finish="error"), "'error'", "error"),
        (chunk("", finish="overloaded_error"), "overloaded_error", "overloaded_error"),
    ],
)
def test_an_error_inside_a_stream_is_raised(side: Side, event: Any, words: str, kind: str | None) -> None:
    """An error event, or a finish reason that is one, ends the answer with what had arrived."""
    chunks: list[p.ChatCompletionChunk] = []

    error = failure(side, sse(*RAINING, event), chunks)

    assert p.StreamError is type(error)
    assert (words in str(error), kind) == (True, error.type)
    assert "It is raining" == text_of(chunks) == partial_text(error)
    assert "trace-1" == error.gateway.trace_id


@sides
@pytest.mark.parametrize(
    "event", [b"data: {not json", b"data: null", b"data: []", b"data: 5", b"data: " + b"[" * 100_000]
)
def test_an_event_that_is_no_chunk_is_an_error(side: Side, event: bytes) -> None:
    """Broken JSON, or JSON that is no object, is a typed error with its cause, after the chunks before it."""
    chunks: list[p.ChatCompletionChunk] = []

    error = failure(side, sse(*RAINING, event), chunks)

    assert p.APIResponseValidationError is type(error)
    assert error.__cause__ is not None
    assert "It is raining" == text_of(chunks) == partial_text(error)


@sides
def test_frames_that_are_no_chunks_do_not_disturb_a_loop(side: Side) -> None:
    """Hook results are kept, pings and empty data skipped; every chunk the loop sees is one."""
    hooks = {"before_request_hooks": [{"verdict": True}]}
    reply = sse(
        {"hook_results": hooks},
        b": ping",
        b"data:",
        b"event: ping\nid: 3",
        b"retry: 30",
        *RAINING,
        chunk(finish="stop"),
    )
    chunks: list[p.ChatCompletionChunk] = []

    stream = side.read(side.client(Gateway(reply)), chunks)

    assert hooks == stream.hook_results
    assert 4 == len(chunks)


@sides
def test_null_is_taken_where_it_means_empty(side: Side) -> None:
    """Servers written in Go say null for an empty list; a choice may be null in its index and its delta, too."""
    events = [
        {"choices": [{"index": None, "delta": {"content": "It is"}}]},
        {"choices": [{"index": 0, "delta": {"content": " raining"}}]},
        {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
        {"choices": None, "usage": {"total_tokens": 3}},
    ]
    chunks: list[p.ChatCompletionChunk] = []

    stream = side.read(side.client(Gateway(sse(*events))), chunks)

    assert (4, "It is raining") == (len(chunks), text_of(chunks))
    whole = stream.partial
    assert ("It is raining", "stop") == (whole.choices[0].message.content, whole.choices[0].finish_reason)
    assert 3 == whole.usage.total_tokens


@sides
def test_nothing_counts_after_done(side: Side) -> None:
    """`[DONE]` ends the stream at once, whatever else comes or breaks behind it."""
    body = Body(WHOLE, b"data: {not json\n\n", httpx.ReadError("reset"))

    side.read(side.client(Gateway(body)))

    assert body.closed


@sides
@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (httpx.ReadError("reset"), p.StreamConnectionError),
        (httpx.RemoteProtocolError("peer closed connection"), p.StreamConnectionError),
        (httpx.ReadTimeout("stalled"), p.StreamTimeoutError),
    ],
)
def test_a_broken_connection_keeps_what_had_arrived(side: Side, cause: Exception, expected: type[p.APIError]) -> None:
    """A reset or a stall in mid-stream is incomplete, and a connection failure or a timeout."""
    chunks: list[p.ChatCompletionChunk] = []
    body = Body(sse(*RAINING, done=False), cause)

    error = failure(side, body, chunks)

    assert expected is type(error)
    assert isinstance(error, p.IncompleteStreamError)
    assert isinstance(error, p.APIConnectionError)
    assert isinstance(error, p.APITimeoutError) == isinstance(cause, httpx.TimeoutException)
    assert "It is raining" == text_of(chunks) == partial_text(error)
    assert (cause, True) == (error.__cause__, body.closed)


@sides
def test_keep_alives_are_no_progress(side: Side) -> None:
    """Comments for ever run into the read timeout, as silence would."""
    gateway = Gateway()
    tick: Callable[[], None] = lambda: gateway.clock.sleep(0.3)  # noqa: E731  # a piece of the body that only takes time
    pieces: list[Piece] = [tick, b": ping\n\n"]
    gateway.replies.append(Body(*pieces * 100))

    with pytest.raises(p.StreamTimeoutError):
        side.read(side.client(gateway), timeout=2.0)
    assert gateway.clock.now < 3.0


@sides
def test_a_slow_stream_that_goes_on_is_no_timeout(side: Side) -> None:
    """The read timeout counts from chunk to chunk, keep-alives between them included."""
    gateway = Gateway()
    tick: Callable[[], None] = lambda: gateway.clock.sleep(1.5)  # noqa: E731  # a piece of the body that only takes time
    pieces = [
        part for event in (*RAINING, chunk(finish="stop")) for part in (tick, b": ping\n\n", sse(event, done=False))
    ]
    gateway.replies.append(Body(*pieces))

    side.read(side.client(gateway), timeout=2.0)

    assert 6.0 == gateway.clock.now


@sides
def test_a_gzipped_stream_is_undone_and_checked(side: Side) -> None:
    """A compressed stream is read like any other, and cut like any other."""
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    packed = gzip.compress(WHOLE)
    cut = gzip.compress(sse(*RAINING, done=False))[:-12]

    stream = side.read(side.client(Gateway(httpx.Response(200, stream=Body(packed), headers=headers))))
    error = failure(side, httpx.Response(200, stream=Body(cut), headers=headers))

    assert "It is raining" == stream.partial.choices[0].message.content
    assert p.IncompleteStreamError is type(error)


@sides
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_all_members_of_a_gzipped_stream_are_read(side: Side, size: int) -> None:
    """A server may close one gzip member and begin another; what does not begin one is padding."""
    packed = gzip.compress(WHOLE[:99]) + gzip.compress(WHOLE[99:]) + bytes(8)
    body = Body(*[packed[start : start + size] for start in range(0, len(packed), size)])
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}

    stream = side.read(side.client(Gateway(httpx.Response(200, stream=body, headers=headers))))

    assert "It is raining" == stream.partial.choices[0].message.content


def test_leaving_the_loop_hangs_up() -> None:
    """`break` and an exception in the loop close the connection, although the stream is still in a variable."""
    body = Body(*[sse(piece, done=False) for piece in RAINING])
    client = SyncSide().client(Gateway(body))

    stream = client.chat.completions.create(messages=MESSAGES, stream=True)
    for _ in stream:
        break

    assert body.closed
    assert "It is" != stream.partial.choices[0].message.content
    with pytest.raises(p.PortkeyError, match="closed before its end"):
        next(iter(stream))


@pytest.mark.parametrize(
    "library",
    [
        "asyncio",
        # trio warns whenever an async generator is dropped, and httpx's own are out of reach.
        pytest.param("trio", marks=pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")),
    ],
)
def test_leaving_an_async_loop_hangs_up(library: str) -> None:
    """`break` closes the connection in the loop's next round, although the stream is still in a variable."""
    import anyio

    body = Body(*[sse(piece, done=False) for piece in RAINING])
    client = AsyncSide().client(Gateway(body))

    async def run() -> None:
        stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
        async for _ in stream:
            break
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert body.closed
        with pytest.raises(p.PortkeyError, match="closed before its end"):
            await anext(aiter(stream))

    anyio.run(run, backend=library)


def test_a_stream_is_a_context_manager_and_an_iterator() -> None:
    """`with`, `next()`, `close()` and a loop work together, and closing twice does no harm."""
    body = Body(*[sse(piece, done=False) for piece in RAINING])

    with SyncSide().client(Gateway(body)).chat.completions.create(messages=MESSAGES, stream=True) as stream:
        assert "" == next(stream).choices[0].delta.content
        for piece in stream:
            assert "It is" == piece.choices[0].delta.content
            stream.close()
    stream.close()

    assert body.closed


def test_an_async_stream_is_a_context_manager_and_an_iterator() -> None:
    """`async with`, `anext()`, `close()` and a loop work together, and closing twice does no harm."""
    body = Body(*[sse(piece, done=False) for piece in RAINING])
    client = AsyncSide().client(Gateway(body))

    async def run() -> None:
        async with await client.chat.completions.create(messages=MESSAGES, stream=True) as stream:
            assert "" == (await anext(stream)).choices[0].delta.content
            assert "It is" == (await anext(stream)).choices[0].delta.content
        await stream.close()

    asyncio.run(run())
    assert body.closed


def test_a_stream_can_be_closed_by_another_task() -> None:
    """A task that waits for the next chunk does not keep another from hanging up."""
    reading = asyncio.Event()

    class Endless(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield sse(*RAINING, done=False)
            reading.set()
            await asyncio.Event().wait()

    body = Endless()
    client = AsyncSide().client(Gateway(body))

    async def run() -> None:
        stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
        chunks: list[p.ChatCompletionChunk] = []

        async def read() -> None:
            async for piece in stream:
                chunks.append(piece)  # noqa: PERF401  # kept one by one: the loop never ends

        task = asyncio.ensure_future(read())
        await reading.wait()
        await stream.close()
        task.cancel()
        assert "It is raining" == text_of(chunks)

    asyncio.run(run())
    assert body.closed


@sides
def test_a_loop_over_a_closed_stream_is_an_error(side: Side) -> None:
    """What was never read is not taken for an empty answer."""
    client: Any = side.client(Gateway(sse(*RAINING)))

    async def arun() -> None:
        stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
        await stream.close()
        async for _ in stream:
            pass

    def run() -> None:
        stream = client.chat.completions.create(messages=MESSAGES, stream=True)
        stream.close()
        for _ in stream:
            pass

    with pytest.raises(p.PortkeyError, match="closed before its end"):
        asyncio.run(arun()) if isinstance(side, AsyncSide) else run()


def test_a_loop_ends_where_another_task_closes_its_stream() -> None:
    """Also where that task is about to close it as the loop asks for more."""

    class Slow(Body):
        async def aclose(self) -> None:
            await asyncio.sleep(0)
            self.closed = True

    body = Slow(*[sse(chunk("It is"), done=False)] * 9)
    client = AsyncSide().client(Gateway(body))

    async def run() -> int:
        stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
        seen = 0
        async with asyncio.TaskGroup() as others:
            async for _ in stream:
                seen += 1
                others.create_task(stream.close())
                await asyncio.sleep(0)
        return seen

    assert 1 == asyncio.run(run())
    assert body.closed


def test_a_dropped_stream_is_closed_without_a_warning() -> None:
    """A stream that nobody reads lets go of its connection when it is dropped."""
    body = Body(WHOLE)

    SyncSide().client(Gateway(body)).chat.completions.create(messages=MESSAGES, stream=True)
    gc.collect()

    assert body.closed


@sides
def test_a_second_loop_over_a_finished_stream_is_empty(side: Side) -> None:
    """As with any iterator: what was read to its end has nothing more."""

    async def arun() -> int:
        stream: Any = await side.client(Gateway(WHOLE)).chat.completions.create(messages=MESSAGES, stream=True)  # type: ignore[misc]  # async here
        await stream.get_final_completion()
        return len([piece async for piece in stream])

    if isinstance(side, AsyncSide):
        assert 0 == asyncio.run(arun())
    else:
        stream = side.client(Gateway(WHOLE)).chat.completions.create(messages=MESSAGES, stream=True)
        assert "It is raining" == stream.get_final_completion().choices[0].message.content
        assert [] == list(stream)


def chat_cases() -> dict[str, dict[str, Any]]:
    """The cases of the data file that say what a chat client makes of a stream."""
    document = yaml.load(CASES.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {case["name"]: case for case in document["cases"] if "chat" in case}


def data_of(value: Any) -> bytes:
    """The bytes that a chunk of a case stands for; see the data file's header."""
    match value:
        case str():
            return value.encode()
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"repeat": text, "times": times, **rest}:
            return data_of(text) * (int(times) * int(str(rest.get("count", 1))))
        case {"join": parts}:
            return b"".join(map(data_of, parts))
        case _:
            raise AssertionError(value)


@sides
@pytest.mark.parametrize("name", chat_cases())
def test_hand_written_streams_come_out_as_written_down(side: Side, name: str) -> None:
    """Each case of the data file: the contents in order, then the outcome."""
    case = chat_cases()[name]
    expected = case["chat"]
    chunks: list[p.ChatCompletionChunk] = []
    raised: p.PortkeyError | None = None

    try:
        side.read(side.client(Gateway(Body(*map(data_of, case["chunks"])))), chunks)
    except p.PortkeyError as error:
        raised = error

    contents = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    if expected["contents"] is not None:
        assert [data_of(content).decode() for content in expected["contents"]] == contents
    if expected["outcome"] != "any":
        assert (expected["outcome"] == "complete") == (raised is None)
    for words in expected.get("error_contains", ()):
        assert words in str(raised)


def test_a_long_stream_takes_constant_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are not kept: what grows with the stream is its text alone."""
    import tracemalloc

    monkeypatch.setattr("portkey_client._accumulate._BATCH", 200)
    pieces = 4_000
    event = sse(chunk("x"), done=False)

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            client = SyncSide().client(Gateway(Body(*[event] * count, sse(chunk(finish="stop")))))
            for _ in client.chat.completions.create(messages=MESSAGES, stream=True):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(pieces) < 1.5 * peak(pieces // 2) + 100_000
