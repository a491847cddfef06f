"""HTTP as the gateway's server speaks it, which is Node's: uvicorn's protocol, where the two differ."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from portkey_testing.mounts.asgi import Scope

MAX_HEAD: Final = 2**18
"""Bytes that are read of the head of a request. What the gateway itself allows is less, and the responder's to say."""

_JOINED_BYTES: Final = 2**16
"""Bytes that are kept at most to be written together."""

# What Node's HTTP server, which the gateway runs in, answers by itself.
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_NO_UPGRADE: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_HEAD_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""Socket option that turns closing into a reset."""


class OpenConnections:
    """The open connections by the address of their client, for those who want to break one."""

    def __init__(self) -> None:
        self.transports: dict[Any, JoinedWrites] = {}

    def reset(self, scope: Scope) -> None:
        transport = self.transports[tuple(scope["client"])]
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()

    def close(self, scope: Scope) -> None:
        self.transports[tuple(scope["client"])].close()


class JoinedWrites:
    """A transport that sends together what is written in one turn of the loop, as Node does with heads and bodies.

    Uvicorn writes them one after the other, which is a system call more for each answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _JOINED_BYTES:
            self.flush()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self.flush()
        self._transport.abort()

    def flush(self) -> None:
        """Send what is kept."""
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()
        self._size = 0


class _RefusedError(Exception):
    """Raised within the parser, which hands it on as a request that is none."""


class _OldCycle(RequestResponseCycle):
    """The answer to a client of HTTP/1.0, as Node frames it: what has no length ends with its connection."""

    _sized = True

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", ()))
            self._sized = b"content-length" in headers
            if not self._sized:
                self.keep_alive = self.chunked_encoding = False
            if b"connection" not in headers:  # older versions of uvicorn close without a word
                word = b"keep-alive" if self.keep_alive else b"close"
                message = {**message, "headers": [*message["headers"], (b"connection", word)]}
        elif not self._sized:
            self.expected_content_length = len(message.get("body", b""))  # of which uvicorn subtracts what it writes
        await super().send(message)


def protocol(connections: OpenConnections) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol, noting its connections, and refusing what the gateway's server refuses."""

    class LikeNode(HttpToolsProtocol):
        cycle: Any  # None until the first request,
        parser: Any  # None after the end of the connection, which their types do not say, and
        transport: Any  # `JoinedWrites`
        _head = 0
        _in_head = False
        _refusal = _BAD_REQUEST

        def connection_made(self, transport: Any) -> None:
            joined: Any = JoinedWrites(transport, self.loop)
            self._peer = transport.get_extra_info("peername")[:2]
            connections.transports[self._peer] = joined
            super().connection_made(joined)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.transports.pop(self._peer, None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head:
                self._head += len(data)
                if self._head > MAX_HEAD:
                    self._refusal = _HEAD_TOO_LARGE
                    self.send_400_response("")

        def on_response_complete(self) -> None:
            self.transport.flush()
            super().on_response_complete()

        def eof_received(self) -> None:
            if self._in_head or (self.cycle is not None and self.cycle.more_body):
                self.send_400_response("")

        def send_400_response(self, msg: str) -> None:
            # Within an answer that has begun it would be taken for a part of that.
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(self._refusal)
            self.transport.close()

        def on_message_begin(self) -> None:
            self._head, self._in_head = 0, True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            if self.parser.should_upgrade() and not self.url.startswith(b"/v1/realtime"):
                self._refusal = b"" if self.parser.get_method() == b"CONNECT" else _NO_UPGRADE
                raise _RefusedError
            if self.url[:1] != b"/":
                raise _RefusedError
            super().on_headers_complete()
            if self.scope["http_version"] == "1.0":
                self.cycle.__class__ = _OldCycle
                self.cycle.keep_alive = self.parser.should_keep_alive()
                self.cycle.waiting_for_100_continue = False

    return LikeNode
