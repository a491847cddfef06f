"""HTTP as the gateway's server speaks it, which is Node's: uvicorn's protocol, where the two differ."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from portkey_testing.mounts.asgi import Scope

MAX_HEAD: Final = 2**18
"""Bytes that are read of the head of a request. What the gateway itself allows is less, and the responder's to say."""

# What Node's HTTP server, which the gateway runs in, answers by itself.
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_NO_UPGRADE: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_HEAD_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"

_BODILESS: Final = (204, 304)

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""Socket option that turns closing into a reset."""


class OpenConnections:
    """The open connections by the address of their client, for those who want more of one than ASGI has words for."""

    def __init__(self) -> None:
        self.protocols: dict[Any, Any] = {}

    def answer(self, scope: Scope, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        found = self._of(scope)
        return found is not None and bool(found.answer(scope, status, headers, body))

    def reset(self, scope: Scope) -> None:
        if (found := self._of(scope)) is not None:
            connection: socket.socket = found.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            found.transport.abort()

    def close(self, scope: Scope) -> None:
        if (found := self._of(scope)) is not None:
            found.transport.close()

    def _of(self, scope: Scope) -> Any:
        """The protocol of a request's connection; None if its client has gone."""
        return self.protocols.get(tuple(scope["client"]))


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
        cycle: Any  # None until the first request, and
        parser: Any  # None after the end of the connection, which their types do not say
        _head = 0
        _in_head = False
        _refusal = _BAD_REQUEST

        def connection_made(self, transport: Any) -> None:
            self._peer = transport.get_extra_info("peername")[:2]
            connections.protocols[self._peer] = self
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.protocols.pop(self._peer, None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head:
                self._head += len(data)
                if self._head > MAX_HEAD:
                    self._refusal = _HEAD_TOO_LARGE
                    self.send_400_response("")

        def answer(self, scope: Scope, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
            """Send a whole answer in one write, where there is nothing to it that uvicorn has to see to."""
            cycle = self.cycle
            if cycle.scope is not scope or type(cycle) is not RequestResponseCycle:
                return False  # another request has followed this one already, or it is one of HTTP/1.0
            if not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused:
                return False
            if scope["method"] == "HEAD" or status in _BODILESS or b"connection" in dict(headers):
                return False
            head = [STATUS_LINE[status]]
            for name, value in (*cycle.default_headers, *headers):
                head += (name, b": ", value, b"\r\n")
            written = b"".join(head)
            if written.count(b"\n") != 1 + len(cycle.default_headers) + len(headers):
                return False  # a header holds the end of a line, which uvicorn refuses
            self.transport.write(b"%b\r\n%b" % (written, body))
            cycle.response_started = cycle.response_complete = True
            cycle.message_event.set()
            cycle.on_response()
            return True

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
