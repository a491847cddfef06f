"""Doubles for the client's tests: a gateway that answers from a queue, a clock that never waits, both clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import httpx

from portkey_client import AsyncPortkey, ChatCompletionChunk, ChatCompletions, Portkey
from portkey_client._clock import leave_clock

T = TypeVar("T")

URL = "http://gateway.test/v1"
MESSAGES = [{"role": "user", "content": "Weather in Oslo?"}]
GATEWAY_HEADERS = {
    "x-portkey-trace-id": "trace-1",
    "x-portkey-provider": "anthropic",
    "x-portkey-last-used-option-index": "config.targets[1]",
    "x-portkey-retry-attempt-count": "2",
    "x-portkey-cache-status": "MISS",
}


def completion(content: str | None = "It is raining", **fields: Any) -> dict[str, Any]:
    """A whole answer, as the gateway gives it."""
    message = {"role": "assistant", "content": content, **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **fields}


def chunk(content: str | None = None, *, index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A piece of an answer, as the gateway gives it."""
    delta = delta if content is None else {"content": content, **delta}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def sse(*events: Any, done: bool = True) -> bytes:
    """Events as the gateway writes them; bytes go out as they are."""
    blocks = [event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() for event in events]
    return b"".join(block + b"\n\n" for block in [*blocks, *([b"data: [DONE]"] if done else [])])


Piece = bytes | Exception | Callable[[], None]


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, for both kinds of client; an exception among the pieces is raised in its place.

    Attributes:
        closed: Whether the client has let go of it.
    """

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece()
            else:
                yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Clock:
    """A clock that only sleeping moves.

    Attributes:
        sleeps: What was slept, in seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


Reply = httpx.Response | BaseException | dict[str, Any] | bytes | Body


class Gateway:
    """Answers requests from a queue: a response, an exception to raise, a dict for JSON, bytes or a Body for events.

    Attributes:
        requests: What came.
        clock: The clock of every request.
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.clock = Clock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        leave_clock(request.extensions, self.clock, self.clock.time())
        self.requests.append(request)
        reply = self.replies.pop(0)
        match reply:
            case BaseException():
                raise reply
            case httpx.Response():
                return reply
            case dict():
                return httpx.Response(200, json=reply, headers=GATEWAY_HEADERS)
            case bytes() | Body():
                stream = reply if isinstance(reply, Body) else Body(reply)
                headers = {"content-type": "text/event-stream", **GATEWAY_HEADERS}
                return httpx.Response(200, headers=headers, stream=stream)

    @property
    def sent(self) -> dict[str, Any]:
        """The body of the last request."""
        body: dict[str, Any] = json.loads(self.requests[-1].content)
        return body


class SyncSide:
    """Drives a `Portkey`."""

    def client(self, gateway: Gateway, **options: Any) -> Portkey:
        http = httpx.Client(transport=httpx.MockTransport(gateway))
        given: dict[str, Any] = {"api_key": "PK", "base_url": URL, "http_client": http, **options}
        return Portkey(**given)

    def create(self, client: Any, **params: Any) -> ChatCompletions:
        answer = client.chat.completions.create(**{"messages": MESSAGES, **params})
        assert isinstance(answer, ChatCompletions)
        return answer

    def read(self, client: Any, chunks: list[ChatCompletionChunk] | None = None, **params: Any) -> Any:
        """Read a stream into `chunks`, and return it."""
        stream = client.chat.completions.create(**{"messages": MESSAGES, "stream": True, **params})
        for piece in stream:
            if chunks is not None:
                chunks.append(piece)
        return stream

    def run(self, call: Callable[[], T]) -> T:
        return call()


class AsyncSide:
    """Drives an `AsyncPortkey`, each call in an event loop of its own."""

    def client(self, gateway: Gateway, **options: Any) -> AsyncPortkey:
        http = httpx.AsyncClient(transport=httpx.MockTransport(gateway))
        given: dict[str, Any] = {"api_key": "PK", "base_url": URL, "http_client": http, **options}
        return AsyncPortkey(**given)

    def create(self, client: Any, **params: Any) -> ChatCompletions:
        answer = asyncio.run(client.chat.completions.create(**{"messages": MESSAGES, **params}))
        assert isinstance(answer, ChatCompletions)
        return answer

    def read(self, client: Any, chunks: list[ChatCompletionChunk] | None = None, **params: Any) -> Any:
        """Read a stream into `chunks`, and return it."""

        async def run() -> Any:
            stream = await client.chat.completions.create(**{"messages": MESSAGES, "stream": True, **params})
            async for piece in stream:
                if chunks is not None:
                    chunks.append(piece)
            return stream

        return asyncio.run(run())

    def run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(call())


Side = SyncSide | AsyncSide
SIDES = [SyncSide(), AsyncSide()]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """The text of the first choice."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
