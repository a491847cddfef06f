"""The fake as an ASGI application: for a server, or for `httpx.ASGITransport` in process.

It plays timelines in real time, stretched or shortened by the clock it is given. Where the connection has to break,
the server it runs in breaks it, if it says how (`Connections`); any other server is told by an exception.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias

from portkey_client._clock import Clock
from portkey_testing.failures import PortkeyTestFailure
from portkey_testing.faults import wire_fault
from portkey_testing.mounts._answering import gateway_request
from portkey_testing.timeline import Cut, Ending, Frame, GatewayRequest, Outcome, Responder, Timeline

_PLAIN: Final = b"text/plain; charset=UTF-8"

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY: Final = 32 * 2**20
"""Bytes of a request body that are read by default."""

JOINED_FRAMES: Final = 16
"""Frames without a gap between them that go out in one write at most."""

_HOST: Final = re.compile(
    rb"[\w.!$&'()*+,;=~-]+"  # a name; with a port it has to be
    rb"|[a-z\d_.!$&'()*+,;=~-]+:\d{1,5}"  # in lower case, as the server compares it with that of the parsed URL
    rb"|\[[\da-f:.]+\](:\d{1,5})?",
    re.ASCII,
)
"""What the `host` header has to be for the gateway's server (@hono/node-server 1.13.5, `request.ts`)."""


class Connections(Protocol):
    """What a server offers beyond ASGI."""

    def answer(self, scope: Scope, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer at once, its `content-length` among the headers; False where ASGI's messages have to."""
        ...

    def reset(self, scope: Scope) -> None:
        """Break it off with a TCP reset."""
        ...

    def close(self, scope: Scope) -> None:
        """Close it in order, wherever the answer stands."""
        ...


class BrokenOffError(Exception):
    """Raised into the server to make it break the connection, where it offers no better way."""


class Player:
    """Plays timelines to the clients of an ASGI server.

    Args:
        clock: What waiting means.
        connections: How to break connections; without it an exception is raised into the server.
    """

    def __init__(self, clock: Clock, connections: Connections | None = None) -> None:
        self.clock = clock
        self.connections = connections

    async def play(self, timeline: Timeline, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one answer as it was scripted, and tell the timeline how that ended."""
        playing = _Playing(timeline, self, scope, receive, send)
        try:
            await playing.play()
        except asyncio.CancelledError:
            playing.end("closed")
            raise


class GatewayApp:
    """One responder as an application.

    Args:
        responder: What answers.
        clock: What waiting means.
        connections: How to break connections; without it an exception is raised into the server.
        max_body: Bytes of a request body that are read at most.
    """

    def __init__(
        self,
        responder: Responder,
        clock: Clock,
        connections: Connections | None = None,
        *,
        max_body: int = MAX_BODY,
    ) -> None:
        self._responder = responder
        self._player = Player(clock, connections)
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        request = await asked(scope, receive, send, max_body=self._max_body)
        if request is None:
            return
        try:
            timeline = self._responder.respond(request, self._player.clock.time())
        except (PortkeyTestFailure, Exception) as failure:
            await explain(failure, send)
            if not isinstance(failure, PortkeyTestFailure):
                raise
        else:
            await self._player.play(timeline, scope, receive, send)


async def asked(scope: Scope, receive: Receive, send: Send, *, max_body: int = MAX_BODY) -> GatewayRequest | None:
    """The request of a connection event.

    None where nothing is left to answer: the start and end of the server, a client that went away before its request
    was complete, or one that is refused here: a body larger than `max_body` bytes, no valid `host`, an expectation
    that nobody can meet.

    Raises:
        ValueError: the event is neither HTTP nor the life of the server.
    """
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return None
    if scope["type"] != "http":
        raise ValueError(f"the fake gateway serves http, not {scope['type']}")
    try:
        body = await read_body(receive, max_body)
    except BodyTooLargeError as error:
        # What is left of the body is not read, so the connection cannot be used again.
        await send_json(send, 413, _error(str(error), "too_large"), ((b"connection", b"close"),))
        return None
    if body is None:
        return None
    request = _request(scope, body)
    if request is None:
        await send_whole(send, 400, _PLAIN, b"")
        return None
    if "expect" in request.headers and "100-continue" not in request.headers["expect"].lower():
        await send_whole(send, 417, _PLAIN, b"")
        return None
    return request


async def explain(failure: BaseException, send: Send) -> None:
    """Answer what the fake refuses, or broke at: no exception can travel to the client, so the text does.

    A test failure is a 400, anything else (the script's own code, or ours) a 500; both with word not to try again.
    """
    status, text = 400, str(failure)
    if not isinstance(failure, PortkeyTestFailure):
        status, text = 500, f"answering this raised {type(failure).__name__}: {failure}"
    await send_json(send, status, _error(text, type(failure).__name__), ((b"x-should-retry", b"false"),))


class _Playing:
    """One answer on its way."""

    __slots__ = ("_clock", "_connections", "_frames", "_over", "_receive", "_scope", "_send", "_timeline")

    def __init__(self, timeline: Timeline, player: Player, scope: Scope, receive: Receive, send: Send) -> None:
        self._timeline = timeline
        self._clock = player.clock
        self._connections = player.connections
        self._scope = scope
        self._receive = receive
        self._send = send
        self._frames = 0
        self._over = False

    async def play(self) -> None:
        timeline = self._timeline
        if timeline.delay:
            await self._clock.asleep(timeline.delay)
        if timeline.cut is not None:
            await self._break(timeline.cut)
            return
        headers = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in timeline.headers]
        whole = _in_one_piece(timeline.frames)
        if whole is not None:
            await self._answer(headers, whole)
            self._frames = 1
            self.end("complete")
            return
        await self._send({"type": "http.response.start", "status": timeline.status, "headers": headers})
        hung_up = asyncio.ensure_future(self._receive())
        try:
            await self._play_frames(timeline.frames, hung_up)
        finally:
            hung_up.cancel()

    async def _answer(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        status = self._timeline.status
        if b"content-length" not in dict(headers):
            headers.append((b"content-length", b"%d" % len(body)))
            if self._connections is not None and self._connections.answer(self._scope, status, headers, body):
                return
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _play_frames(self, frames: Iterable[Frame | Cut], hung_up: asyncio.Future[Message]) -> None:
        waiting: list[bytes] = []
        for step in frames:
            if step.gap or len(waiting) == JOINED_FRAMES or isinstance(step, Cut):
                if waiting:
                    await self._write(waiting)
                if step.gap:
                    await self._clock.asleep(step.gap)
                if hung_up.done():
                    self.end("closed")
                    return
                if isinstance(step, Cut):
                    await self._break(step)
                    return
            self._frames += 1
            waiting.append(step.data)
        await self._send({"type": "http.response.body", "body": b"".join(waiting)})
        self.end("complete")

    async def _write(self, waiting: list[bytes]) -> None:
        await self._send({"type": "http.response.body", "body": b"".join(waiting), "more_body": True})
        waiting.clear()

    async def _break(self, cut: Cut) -> None:
        fault = wire_fault(cut.fault)
        self.end("cut")
        if fault.waits:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        elif fault.raises is None:
            await self._send({"type": "http.response.body", "body": b""})
        elif self._connections is None:
            raise BrokenOffError(f"the script breaks the connection here: {fault.name}")
        elif fault.raises == "RemoteProtocolError":
            self._connections.close(self._scope)
        else:
            self._connections.reset(self._scope)

    def end(self, outcome: Outcome) -> None:
        """Tell the timeline, once."""
        if self._timeline.ended is not None and not self._over:
            self._timeline.ended(Ending(outcome, self._clock.time(), self._frames))
        self._over = True


def _in_one_piece(frames: Iterable[Frame | Cut]) -> bytes | None:
    """The body of a plain answer, which nothing interrupts; None for any other."""
    if isinstance(frames, tuple) and len(frames) == 1:
        (step,) = frames
        if isinstance(step, Frame) and not step.gap:
            return step.data
    return b"" if frames == () else None


async def _live(receive: Receive, send: Send) -> None:
    """The start and the end of the server, which need nothing."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class BodyTooLargeError(Exception):
    """A request body is larger than what is read of it."""


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The whole body of a request; None if the client went away before it had sent it.

    Raises:
        BodyTooLargeError: it is larger than `limit` bytes.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLargeError(f"the body is larger than the {limit} bytes that are read at most")
        if not message.get("more_body"):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


async def send_json(
    send: Send, status: int, body: Mapping[str, Any], headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with JSON."""
    await send_whole(send, status, b"application/json", json.dumps(body, ensure_ascii=False).encode(), headers)


async def send_whole(
    send: Send, status: int, content_type: bytes, data: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with a body that is there already."""
    typed = [(b"content-type", content_type), (b"content-length", b"%d" % len(data)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": typed})
    await send({"type": "http.response.body", "body": data})


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "portkey_testing", "param": None, "code": kind}}


def _request(scope: Scope, body: bytes) -> GatewayRequest | None:
    """The request as the gateway sees it; None if it has no valid `host`."""
    headers = scope["headers"]
    host = b""
    for name, value in headers:
        if name == b"host":
            host = value
            break
    path = scope.get("raw_path") or scope["path"].encode()
    url = _url(scope["scheme"], host, path, scope["query_string"])
    return None if url is None else gateway_request(scope["method"], url, headers, body, {})


@lru_cache(maxsize=256)
def _url(scheme: str, host: bytes, path: bytes, query: bytes) -> str | None:
    """A whole URL; None if the host is none."""
    if not _HOST.fullmatch(host):
        return None
    url = f"{scheme}://{host.decode('ascii')}{path.decode('latin-1')}"
    return f"{url}?{query.decode('latin-1')}" if query else url
