"""What a served fake makes of the bytes of a connection, as clients of every kind write them.

The real gateway was given the same bytes; statuses, framing and ends of connections are what it answered.
"""

from __future__ import annotations

import codecs
import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from portkey_testing import FakeGateway
from portkey_testing.mounts.server import Server
from tests.contract.conftest import chat

BODY = json.dumps(chat()).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """A fake that says "Sunny" to everybody."""
    fake = FakeGateway()
    fake.always("Sunny")
    with fake.serve(time_scale=0) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    """A connection to it."""
    host, _, port = server.root.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5.0) as opened:
        yield opened


def head(*lines: str, length: int | None = len(BODY)) -> bytes:
    """The head of a chat request, with further lines."""
    lengths = () if length is None else (f"content-length: {length}",)
    always = ("host: gateway", "content-type: application/json", "x-portkey-provider: openai")
    return "\r\n".join(["POST /v1/chat/completions HTTP/1.1", *always, *lengths, *lines, "", ""]).encode()


def chunked(*pieces: bytes) -> bytes:
    """A body of unknown length."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer with a length, and no byte more."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    lines = answer.decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(lines[0].split()[1]), body


def said(answer: tuple[int, bytes]) -> tuple[int, str]:
    """Status and text of an answer."""
    return answer[0], json.loads(answer[1])["choices"][0]["message"]["content"]


REQUESTS = {
    "in one piece": [head() + BODY],
    "byte by byte": [bytes([byte]) for byte in head() + BODY],
    "in chunks": [head("transfer-encoding: chunked", length=None) + chunked(BODY[:10], BODY[10:])],
    "after empty lines": [b"\r\n\r\n" + head() + BODY],
    "with a byte order mark": [head(length=len(BODY) + 3) + codecs.BOM_UTF8 + BODY],
    "with a charset": [head("accept-charset: utf-8").replace(b"/json", b"/json; charset=utf-8") + BODY],
}


@pytest.mark.parametrize("pieces", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_understood(connection: socket.socket, pieces: list[bytes]) -> None:
    """However it is cut and labelled; and the connection is ready for the next one."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2):
        for piece in pieces:
            connection.sendall(piece)

        assert (200, "Sunny") == said(read_answer(connection))


def test_requests_in_advance_are_answered_in_order(connection: socket.socket) -> None:
    """A client that pipelines gets one answer for each."""
    connection.sendall((head() + BODY) * 3)

    assert [(200, "Sunny")] * 3 == [said(read_answer(connection)) for _ in range(3)]


def test_a_client_that_asks_first_is_told_to_go_on(connection: socket.socket) -> None:
    """As curl does with large bodies."""
    connection.sendall(head("expect: 100-continue"))

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == connection.recv(25)
    connection.sendall(BODY)
    assert (200, "Sunny") == said(read_answer(connection))


def test_a_compressed_request_is_not_understood(connection: socket.socket) -> None:
    """The gateway does not undo content codings: it finds no JSON, and fails."""
    packed = gzip.compress(BODY)
    connection.sendall(head("content-encoding: gzip", length=len(packed)) + packed)

    status, body = read_answer(connection)

    assert (500, {"status": "failure", "message": "Something went wrong"}) == (status, json.loads(body))


def test_a_client_that_wants_the_end_gets_it(connection: socket.socket) -> None:
    """`connection: close` closes, after the answer."""
    connection.sendall(head("connection: close") + BODY)

    assert (200, "Sunny") == said(read_answer(connection))
    assert b"" == connection.recv(1)
