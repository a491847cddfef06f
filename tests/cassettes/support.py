"""Requests, answers and recordings for the tests of the cassettes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx

from portkey_testing.cassettes import AsyncRecordingTransport, JsonBody, Recorder, RecordingTransport, load_cassette
from portkey_testing.timeline import Frame, GatewayRequest, Timeline

Style = Literal["sync", "async"]
URL = "http://127.0.0.1:8787/v1/chat/completions"


def question(text: str = "Weather in Oslo?", **others: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **others}


def live(body: Any, *, url: str = URL, method: str = "POST", **headers: str) -> GatewayRequest:
    """A request as a mount hands it over."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return GatewayRequest(method, url, {"content-type": "application/json", **named}, content)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **others: Any) -> bytes:
    """One event of a stream, spelt as OpenAI does."""
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        **others,
    }
    return b"data: " + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"

TOOL_CALL = (
    chunk(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
            ],
        }
    ),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Tromsø"}'}}]}),
    chunk({}, "tool_calls"),
    DONE,
)
"""A streamed tool call."""


class Ticks:
    """A clock that goes on by 10 ms each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in the given pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


Handler = Callable[[httpx.Request], httpx.Response]


def answering(*pieces: bytes | Exception, status: int = 200, **headers: str) -> Handler:
    """A server that always gives this answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, headers=named, stream=Body(*pieces))


def streaming(*pieces: bytes | Exception, **headers: str) -> Handler:
    """A server that always gives this stream."""
    return answering(*pieces, status=200, content_type="text/event-stream", **headers)


def exchanged(
    style: Style,
    handler: Handler,
    recorder: Recorder,
    *bodies: Any,
    stop_after: int | None = None,
    headers: dict[str, str] | None = None,
) -> list[bytes]:
    """Send the requests through a recording transport; the pieces of the last answer as the client got them.

    Args:
        style: Which client to use.
        handler: The server.
        recorder: What keeps the recording. It is closed in the end.
        bodies: The requests.
        stop_after: After how many pieces the client hangs up.
        headers: Headers of each request.
    """
    clock = Ticks()

    def sync() -> list[bytes]:
        got: list[bytes] = []
        with httpx.Client(transport=RecordingTransport(httpx.MockTransport(handler), recorder, clock)) as client:
            for body in bodies:
                got = []
                with client.stream("POST", URL, json=body, headers=headers) as response:
                    for piece in response.iter_raw():
                        got.append(piece)
                        if len(got) == stop_after:
                            break
        return got

    async def asynchronous() -> list[bytes]:
        got: list[bytes] = []
        transport = AsyncRecordingTransport(httpx.MockTransport(handler), recorder, clock)
        async with httpx.AsyncClient(transport=transport) as client:
            for body in bodies:
                got = []
                async with client.stream("POST", URL, json=body, headers=headers) as response:
                    async for piece in response.aiter_raw():
                        got.append(piece)
                        if len(got) == stop_after:
                            break
        return got

    try:
        return sync() if style == "sync" else anyio.run(asynchronous)
    finally:
        recorder.close()


def recorded(path: Path, handler: Handler, *bodies: Any, mode: str = "once", **options: Any) -> Path:
    """A cassette with these requests, answered by `handler`."""
    exchanged("sync", handler, Recorder(path, mode, today="2026-11-23", **options), *bodies)
    return path


def pieces_of(timeline: Timeline) -> list[bytes]:
    """The reads of an answer that was not cut off."""
    frames = list(timeline.frames)
    return [frame.data for frame in frames if isinstance(frame, Frame)]


def content_of(timeline: Timeline) -> bytes:
    """The body of an answer that was not cut off."""
    return b"".join(pieces_of(timeline))


def questions_of(path: Path) -> list[Any]:
    """What the recorded requests ask, in recorded order."""
    bodies = [interaction.request.body for interaction in load_cassette(path).interactions]
    return [
        body.value["messages"][0]["content"]
        for body in bodies
        if isinstance(body, JsonBody) and isinstance(body.value, dict)
    ]
