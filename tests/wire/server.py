"""A server that misbehaves: each connection is handed to a script that writes bytes down to the last one itself."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

CERTIFICATES: Final = Path(__file__).parent / "certificates"
"""Made for these tests: an authority, and what it signed, valid until 2120 or since 2020 no longer."""

TICK: Final = 0.04
"""Seconds between the pieces of a drip."""

_ENOUGH: Final = 8.0
"""Seconds after which a script that waits for the client gives up."""


class Connection:
    """One accepted connection.

    Attributes:
        socket: Its socket.
        turn: How many requests the server has read before, on any connection.
    """

    def __init__(self, server: Server, socket_: socket.socket) -> None:
        self._server = server
        self.socket = socket_

    @property
    def turn(self) -> int:
        return len(self._server.requests)

    def request(self) -> bool:
        """Read one whole request; whether there was one."""
        head = self.head()
        if not head:
            return False
        head, _, body = head.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        missing = int(lengths[0]) - len(body) if lengths else 0
        while missing > 0 and (received := self.socket.recv(1 << 20)):
            missing -= len(received)
        return True

    def head(self) -> bytes:
        """Read at least the head of a request."""
        data = b""
        while b"\r\n\r\n" not in data:
            received = self.socket.recv(65536)
            if not received:
                return b""
            data += received
        self._server.requests.append(data.partition(b"\r\n\r\n")[0])
        return data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, *pieces: bytes) -> None:
        """Send the pieces in turn, for ever and slowly, until the client hangs up."""
        for _ in range(int(_ENOUGH / TICK / len(pieces))):
            for piece in pieces:
                self.socket.sendall(piece)
                if select.select([self.socket], [], [], TICK)[0] and not self.socket.recv(65536):
                    return

    def stall(self) -> None:
        """Say nothing until the client hangs up."""
        self.socket.settimeout(_ENOUGH)
        while self.socket.recv(65536):
            pass

    def ignore(self) -> None:
        """Do not even read, until the client hangs up."""
        poller = select.poll()
        poller.register(self.socket, select.POLLRDHUP)
        poller.poll(int(_ENOUGH * 1000))

    def reset(self) -> None:
        """Break the connection as it is closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Script = Callable[[Connection], None]


class Server:
    """Runs a script for every connection, each in a thread.

    Attributes:
        url: Where it listens.
        requests: The heads of the requests that were read, in their order.
        accepted: How many connections there were.
    """

    def __init__(self, script: Script, *, certificate: str | None = None) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self._ended = threading.Semaphore(0)
        self._script = script
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATES / certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def wait_for_an_end(self) -> bool:
        """Wait until one more connection is closed; whether it was in time."""
        return self._ended.acquire(timeout=_ENOUGH)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._run, args=(accepted,), daemon=True).start()

    def _run(self, accepted: socket.socket) -> None:
        self._serve(accepted)
        self._ended.release()

    def _serve(self, accepted: socket.socket) -> None:
        # A client that hangs up, or refuses the certificate, is what many scripts wait for.
        with contextlib.suppress(OSError), accepted:
            if self._tls is None:
                self._script(Connection(self, accepted))
                return
            with self._tls.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=False) as secured:
                self._script(Connection(self, secured))
