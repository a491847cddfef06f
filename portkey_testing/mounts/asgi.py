"""The fake as an ASGI application: for a server, or for `httpx.ASGITransport` in process.

It plays timelines in real time, stretched or shortened by the clock it is given. Where the connection has to break,
the server it runs in breaks it, if it says how (`Connections`); any other server is told by an exception.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from portkey_client._clock import Clock
from portkey_testing.failures import PortkeyTestFailure
from portkey_testing.faults import wire_fault
from portkey_testing.mounts._exchange import gateway_request
from portkey_testing.timeline import Cut, Ending, Frame, GatewayRequest, Outcome, Responder, Timeline

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY: Final = 32 * 2**20
"""Bytes of a request body that are read by default."""

JOINED_FRAMES: Final = 16
"""Frames without a gap between them that go out in one write at most."""


class Connections(Protocol):
    """What a server offers for breaking connections."""

    def reset(self, scope: Scope) -> None:
        """Break it off with a TCP reset."""
        ...

    def close(self, scope: Scope) -> None:
        """Close it in order, wherever the answer stands."""
        ...


class BrokenOffError(Exception):
    """Raised into the server to make it break the connection, where it offers no better way."""


class GatewayApp:
    """One responder as an application.

    Args:
        responder: What answers; None where a subclass forwards.
        clock: What waiting means.
        connections: How to break connections; without it an exception is raised into the server.
        max_body: Bytes of a request body that are read at most.
    """

    def __init__(
        self,
        responder: Responder | None,
        clock: Clock,
        connections: Connections | None = None,
        *,
        max_body: int = MAX_BODY,
    ) -> None:
        self._responder = responder
        self._clock = clock
        self._connections = connections
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            raise ValueError(f"the fake gateway serves http, not {scope['type']}")

    def timeline(self, request: GatewayRequest) -> Timeline | None:
        """The answer; None hands the request to `forward`."""
        return None if self._responder is None else self._responder.respond(request, self._clock.time())

    async def forward(self, request: GatewayRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what `timeline` did not; here there is nothing of that kind."""
        raise NotImplementedError

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive, self._max_body)
        if body is None:
            await _send_json(send, 413, _error(f"the body is larger than {self._max_body} bytes", "too_large"))
            return
        request = gateway_request(scope["method"], _url(scope), scope["headers"], body, {})
        try:
            timeline = self.timeline(request)
        except PortkeyTestFailure as failure:
            # No exception can travel to the client, so it gets the explanation, and word not to try again.
            await _send_json(send, 400, _error(str(failure), type(failure).__name__), ((b"x-should-retry", b"false"),))
            return
        if timeline is None:
            await self.forward(request, scope, receive, send)
            return
        playing = _Playing(timeline, self._clock, self._connections)
        await playing.play(scope, receive, send)


class _Playing:
    """One answer on its way."""

    def __init__(self, timeline: Timeline, clock: Clock, connections: Connections | None) -> None:
        self._timeline = timeline
        self._clock = clock
        self._connections = connections
        self._frames = 0

    async def play(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        timeline = self._timeline
        if timeline.delay:
            await self._clock.asleep(timeline.delay)
        if timeline.cut is not None:
            await self._break(timeline.cut)
            return
        headers = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in timeline.headers]
        if isinstance(timeline.frames, tuple):
            data = b"".join(step.data for step in timeline.frames if isinstance(step, Frame))
            if not any(isinstance(step, Cut) for step in timeline.frames):
                headers.append((b"content-length", str(len(data)).encode()))
        await self._send({"type": "http.response.start", "status": timeline.status, "headers": headers})
        hung_up = asyncio.ensure_future(self._receive())
        try:
            await self._play_frames(timeline.frames, hung_up)
        finally:
            hung_up.cancel()

    async def _play_frames(self, frames: Iterable[Frame | Cut], hung_up: asyncio.Future[Message]) -> None:
        waiting: list[bytes] = []
        for step in frames:
            if step.gap or len(waiting) == JOINED_FRAMES or isinstance(step, Cut):
                await self._write(waiting)
            if step.gap:
                await self._clock.asleep(step.gap)
            if hung_up.done():
                self._end("closed")
                return
            if isinstance(step, Cut):
                await self._break(step)
                return
            self._frames += 1
            waiting.append(step.data)
        await self._send({"type": "http.response.body", "body": b"".join(waiting)})
        self._end("complete")

    async def _write(self, waiting: list[bytes]) -> None:
        if waiting:
            await self._send({"type": "http.response.body", "body": b"".join(waiting), "more_body": True})
            waiting.clear()

    async def _break(self, cut: Cut) -> None:
        fault = wire_fault(cut.fault)
        self._end("cut")
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

    def _end(self, outcome: Outcome) -> None:
        if self._timeline.ended is not None:
            self._timeline.ended(Ending(outcome, self._clock.time(), self._frames))


async def _live(receive: Receive, send: Send) -> None:
    """The start and the end of the server, which need nothing."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The request body; None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _send_json(
    send: Send, status: int, body: Mapping[str, Any], headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    data = json.dumps(body, ensure_ascii=False).encode()
    typed = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": typed})
    await send({"type": "http.response.body", "body": data})


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "portkey_testing", "param": None, "code": kind}}


def _url(scope: Scope) -> str:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
    query = scope["query_string"].decode("latin-1")
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    return f"{scope['scheme']}://{host}{path}" + (f"?{query}" if query else "")
