"""What a served fake makes of the bytes of a connection, as clients of every kind write them.

The real gateway was given the same bytes; statuses, framing and ends of connections are what it answered.
"""

from __future__ import annotations

import codecs
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
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


def everything(connection: socket.socket) -> tuple[list[bytes], bytes]:
    """The lines of the head of an answer, in lower case, and what comes after it until the end of the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    lines, _, rest = b"".join(parts).partition(b"\r\n\r\n")
    return lines.lower().split(b"\r\n"), rest


def old(*lines: str, body: bytes = BODY) -> bytes:
    """A request of a client of HTTP/1.0."""
    return head(*lines, length=len(body)).replace(b"HTTP/1.1", b"HTTP/1.0") + body


def test_an_old_client_gets_the_end_of_the_connection(connection: socket.socket) -> None:
    """HTTP/1.0 closes after each answer."""
    connection.sendall(old())

    lines, body = everything(connection)

    assert b"connection: close" in lines
    assert b"Sunny" in body


def test_an_old_client_that_asks_for_it_may_go_on(connection: socket.socket) -> None:
    """`connection: keep-alive` holds in HTTP/1.0, too."""
    for _ in range(2):
        connection.sendall(old("connection: keep-alive"))

        assert (200, "Sunny") == said(read_answer(connection))


@pytest.mark.parametrize("lines", [(), ("connection: keep-alive",), ("expect: 100-continue",)], ids=str)
def test_a_stream_to_an_old_client_ends_with_the_connection(connection: socket.socket, lines: tuple[str, ...]) -> None:
    """HTTP/1.0 knows no chunks of unknown number, and no interim answers."""
    connection.sendall(old(*lines, body=json.dumps(chat(stream=True)).encode()))

    answer, body = everything(connection)

    assert (b"http/1.1 200 ok", True) == (answer[0], b"connection: close" in answer)
    assert b"transfer-encoding: chunked" not in answer
    assert (True, True) == (body.startswith(b"data: {"), body.endswith(b"data: [DONE]\n\n"))


UPGRADE = ("connection: upgrade", "upgrade: h2c")
WEBSOCKET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
NO_UPGRADE = BAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
REFUSED = {
    "words": (b"hello\r\n\r\n", BAD),
    "no version": (b"GET / HTTP/9.9\r\n\r\n", BAD),
    "two lengths": (head("content-length: 6") + BODY, BAD),
    "h2c": (head(*UPGRADE) + BODY, NO_UPGRADE),
    "h2c without a body": (head(*UPGRADE, length=0), NO_UPGRADE),
    "websocket": (WEBSOCKET, NO_UPGRADE),
    "a tunnel": (b"CONNECT gateway:443 HTTP/1.1\r\nhost: gateway:443\r\n\r\n", b""),
}


@pytest.mark.parametrize(("request_", "answer"), REFUSED.values(), ids=REFUSED)
def test_what_the_server_refuses(connection: socket.socket, request_: bytes, answer: bytes) -> None:
    """In the bytes of the gateway's own, and then it closes."""
    connection.sendall(request_)

    assert answer == connection.recv(65536)
    assert b"" == connection.recv(1)


@pytest.mark.parametrize("request_", [head()[:-2], (head() + BODY)[:-5]], ids=["head", "body"])
def test_half_a_request_is_none(connection: socket.socket, request_: bytes) -> None:
    """A client that will send no more is told so."""
    connection.sendall(request_)
    connection.shutdown(socket.SHUT_WR)

    assert BAD == connection.recv(65536)
    assert b"" == connection.recv(1)


HEADS = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no host in old": (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 400),
    "an empty host": (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 400),
    "a user": (b"GET / HTTP/1.1\r\nhost: me@gateway\r\n\r\n", 400),
    "a path": (b"GET / HTTP/1.1\r\nhost: gateway/v1\r\n\r\n", 400),
    "no port": (b"GET / HTTP/1.1\r\nhost: gateway:\r\n\r\n", 400),
    "capitals and a port": (b"GET / HTTP/1.1\r\nhost: Gateway:80\r\n\r\n", 400),
    "an expectation": (b"GET / HTTP/1.1\r\nhost: gateway\r\nexpect: miracles\r\n\r\n", 417),
    "a host": (b"GET / HTTP/1.1\r\nhost: gateway:8787\r\n\r\n", 200),
    "a host in capitals": (b"GET / HTTP/1.1\r\nhost: Gateway\r\n\r\n", 200),
    "an address": (b"GET / HTTP/1.1\r\nhost: [::1]:8787\r\n\r\n", 200),
}


@pytest.mark.parametrize(("request_", "status"), HEADS.values(), ids=HEADS)
def test_what_a_head_may_say(connection: socket.socket, request_: bytes, status: int) -> None:
    """A host must be one, and no other than `100-continue` may be expected."""
    connection.sendall(request_)

    assert status == read_answer(connection)[0]


def test_a_target_is_a_path(connection: socket.socket) -> None:
    """The gateway is no proxy that takes whole URLs."""
    connection.sendall(b"GET http://gateway/ HTTP/1.1\r\nhost: gateway\r\n\r\n")

    assert b"400" == connection.recv(65536).split()[1]


def padded(size: int, **client: Any) -> httpx.Response:
    """What is answered to a request of whose head the gateway's server counts `size` bytes."""
    with httpx.Client(trust_env=False, **client) as made:
        request = made.build_request("POST", "/chat/completions", json=chat(), headers={"x-portkey-provider": "openai"})
        counted = len(request.url.raw_path) + sum(len(name) + len(value) for name, value in request.headers.raw)
        request.headers["x-padding"] = "x" * (size - counted - len("x-padding"))
        return made.send(request)


@pytest.mark.parametrize(("edition", "last"), [("open-source", 2**14 - 1), ("hosted", None)], ids=str)
@pytest.mark.parametrize("where", ["on a port", "in process"])
def test_a_head_has_room_for_so_much(edition: Any, last: int | None, where: str) -> None:
    """A config too large for the open-source gateway is refused as by its server; the hosted one names no limit."""
    fake = FakeGateway(edition=edition)
    fake.always("Sunny")
    sizes = (2**14 - 1, 2**14, 2**16)

    if where == "on a port":
        with fake.serve(time_scale=0) as server:
            answers = [padded(size, base_url=server.url) for size in sizes]
    else:
        answers = [padded(size, base_url="http://gateway:80/v1", transport=fake.transport()) for size in sizes]

    assert [200 if last is None or size <= last else 431 for size in sizes] == [a.status_code for a in answers]
    assert [b"" for answer in answers if answer.status_code == 431] == [a.content for a in answers if a.is_error]
