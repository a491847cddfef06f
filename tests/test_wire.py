"""Faults on real sockets: what a broken server does to a call, and what is left of the connection.

Each server answers with bytes written down here; timeouts are short, and only the rows that need one wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import portkey_client as p
from tests.client_support import MESSAGES, chunk, completion, sse

ANSWER = json.dumps(completion()).encode()
EVENTS = sse(chunk("It is"), chunk(" raining"), chunk(finish="stop"))
CUT_EVENTS = sse(chunk("It is"), chunk(" raining"), done=False)
PATIENCE = 0.4
"""Seconds that a client waits where the server says nothing; only rows that stall wait for it."""

Step = bytes | Callable[[socket.socket], None]


def reset(connection: socket.socket) -> None:
    """Break the connection instead of closing it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stall(connection: socket.socket) -> None:
    """Say nothing until the client has hung up."""
    connection.settimeout(5)
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def read_request(connection: socket.socket) -> bytes:
    """One whole request; empty if the client has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return b""
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        received = connection.recv(65536)
        if not received:
            break
        body += received
    return head


class Server:
    """Answers the n-th request it reads with the n-th script (the last one for all further), one connection at a time.

    Attributes:
        requests: The heads of the requests that were read.
    """

    def __init__(self, *scripts: list[Step], keep_alive: bool = False) -> None:
        self.requests: list[bytes] = []
        self._scripts = scripts
        self._keep_alive = keep_alive
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while head := read_request(connection):
                self.requests.append(head)
                for step in self._scripts[min(len(self.requests), len(self._scripts)) - 1]:
                    if isinstance(step, bytes):
                        connection.sendall(step)
                    else:
                        step(connection)
                if not self._keep_alive:
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def ok(body: bytes, *headers: bytes, kind: bytes = b"application/json", length: int | None = None) -> bytes:
    """A 200 with a length."""
    size = b"content-length: %d" % (len(body) if length is None else length)
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"content-type: " + kind, size, *headers, b"", body])


def status(line: bytes, *headers: bytes) -> bytes:
    """Another status, without a body unless a header announces one."""
    lengths = [] if any(header.startswith(b"content-length") for header in headers) else [b"content-length: 0"]
    return b"\r\n".join([b"HTTP/1.1 " + line, *headers, *lengths, b"", b""])


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A 200 stream of one HTTP chunk."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n" % (len(body), body) + end


def open_ended(body: bytes, kind: bytes) -> bytes:
    """A 200 that ends where the connection does."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n\r\n" + body


GZIP = gzip.compress(ANSWER)
JSON_ROWS: list[Any] = [
    ("fin-after-request", [], p.APIConnectionError, 2),
    ("reset-after-request", [reset], p.APIConnectionError, 2),
    ("fin-mid-headers", [b"HTTP/1.1 200 OK\r\ncontent-ty"], p.APIConnectionError, 2),
    ("stall-before-headers", [stall], p.APITimeoutError, 1),
    ("stall-mid-headers", [b"HTTP/1.1 200 OK\r\ncontent-ty", stall], p.APITimeoutError, 1),
    ("stall-mid-body", [ok(ANSWER, length=9999), stall], p.APITimeoutError, 1),
    ("garbage-status-line", [b"hello\r\n\r\n"], p.APIConnectionError, 1),
    ("http2-preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], p.APIConnectionError, 1),
    ("status-000", [b"HTTP/1.1 000 Odd\r\ncontent-length: 0\r\n\r\n"], p.APIConnectionError, 1),
    ("status-101", [b"HTTP/1.1 101 Switching\r\n\r\n"], p.APIError, 1),
    ("huge-header", [ok(ANSWER, b"x: " + b"a" * 200_000)], p.APIConnectionError, 1),
    ("nul-in-header", [ok(ANSWER, b"x: a\0b")], p.APIConnectionError, 1),
    ("length-too-long", [ok(ANSWER, length=9999)], p.APIConnectionError, 1),
    ("length-too-short", [ok(ANSWER[:50] + ANSWER[50:], length=50)], p.APIResponseValidationError, 1),
    ("length-conflict", [ok(ANSWER, b"content-length: 3")], p.APIConnectionError, 1),
    ("length-negative", [ok(ANSWER, length=-5)], p.APIConnectionError, 1),
    ("open-ended-cut", [open_ended(ANSWER[:40], b"application/json")], p.APIResponseValidationError, 1),
    ("open-ended-reset", [open_ended(ANSWER[:40], b"application/json"), reset], p.APIError, 1),
    ("gzip-truncated", [ok(GZIP[:-9], b"content-encoding: gzip")], p.APIResponseValidationError, 1),
    ("gzip-bad-crc", [ok(GZIP[:-8] + bytes(8), b"content-encoding: gzip")], p.APIResponseValidationError, 1),
    ("html-200", [ok(b"<html>login</html>", kind=b"text/html")], p.APIResponseValidationError, 1),
    ("204", [b"HTTP/1.1 204 No Content\r\n\r\n"], p.APIResponseValidationError, 1),
    (
        "500-cut-body",
        [status(b"500 Oops", b"x-portkey-trace-id: t", b"content-length: 99") + b"{"],
        p.InternalServerError,
        1,
    ),
    ("429-stalled-body", [b"HTTP/1.1 429 Slow\r\ncontent-length: 99\r\n\r\n{", stall], p.RateLimitError, 1),
    (
        "503-no-gateway",
        [status(b"503 Busy", b"connection: close", b"content-length: 4") + b"busy"],
        p.InternalServerError,
        2,
    ),
    ("redirect", [status(b"307 Moved", b"location: http://localhost:1/")], p.RedirectError, 1),
    ("redirect-odd", [status(b"302 Moved", b"location: file:///etc/passwd")], p.RedirectError, 1),
    ("redirect-bare", [status(b"301 Moved")], p.RedirectError, 1),
    ("whole", [ok(ANSWER)], None, 1),
    ("whole-open-ended", [open_ended(ANSWER, b"application/json")], None, 1),
    ("whole-gzip", [ok(GZIP, b"content-encoding: gzip")], None, 1),
    ("whole-no-type", [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)], None, 1),
    ("early-hints", [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ok(ANSWER)], None, 1),
]  # fmt: skip
STREAM_ROWS: list[Any] = [
    ("fin-after-request", [], p.APIConnectionError, "", 2),
    ("stall-before-headers", [stall], p.APITimeoutError, "", 1),
    ("stall-mid-stream", [chunked(CUT_EVENTS, b""), stall], p.StreamTimeoutError, "It is raining", 1),
    ("fin-mid-chunk", [chunked(CUT_EVENTS, b"ff\r\ndata:")], p.StreamConnectionError, "It is raining", 1),
    ("chunk-size-garbage", [chunked(CUT_EVENTS, b"zz\r\n")], p.StreamConnectionError, "It is raining", 1),
    ("no-terminal-chunk", [chunked(CUT_EVENTS, b"")], p.StreamConnectionError, "It is raining", 1),
    ("clean-end-no-finish", [chunked(CUT_EVENTS)], p.IncompleteStreamError, "It is raining", 1),
    ("open-ended-cut", [open_ended(CUT_EVENTS, b"text/event-stream")], p.IncompleteStreamError, "It is raining", 1),
    ("json-for-stream", [ok(ANSWER)], p.APIResponseValidationError, "", 1),
    ("error-for-stream", [ok(b'{"error": {"message": "boom-4711"}}')], p.APIResponseValidationError, "", 1),
    ("empty-200", [ok(b"", kind=b"text/event-stream")], p.IncompleteStreamError, "", 1),
    ("whole", [chunked(EVENTS)], None, "It is raining", 1),
    ("whole-no-terminal-chunk", [chunked(EVENTS, b"")], None, "It is raining", 1),
    ("slow-close-after-done", [chunked(EVENTS, b""), stall], None, "It is raining", 1),
    ("endless-after-done", [chunked(EVENTS, b"5\r\nhello\r\n" * 9999)], None, "It is raining", 1),
]  # fmt: skip


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers, and stops them."""
    servers: list[Server] = []

    def start(*scripts: list[Step], keep_alive: bool = False) -> Server:
        servers.append(Server(*scripts, keep_alive=keep_alive))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def call_sync(url: str, texts: list[str], *, stream: bool, timeout: float) -> None:
    """One call; the text goes into `texts`, and last the number of connections still in use."""
    with httpx.Client() as http:
        client = p.Portkey(api_key="PK", base_url=url, http_client=http, timeout=timeout)
        try:
            if not stream:
                texts.append(client.chat.completions.create(messages=MESSAGES).choices[0].message.content or "")
            else:
                for piece in client.chat.completions.create(messages=MESSAGES, stream=True):
                    texts.append(piece.choices[0].delta.content or "")  # noqa: PERF401  # an error may come after
        finally:
            texts.append(f"active {active(http)}")


def call_async(url: str, texts: list[str], *, stream: bool, timeout: float) -> None:
    """As `call_sync`."""

    async def run() -> None:
        async with httpx.AsyncClient() as http:
            client = p.AsyncPortkey(api_key="PK", base_url=url, http_client=http, timeout=timeout)
            try:
                if not stream:
                    answer = await client.chat.completions.create(messages=MESSAGES)
                    texts.append(answer.choices[0].message.content or "")
                else:
                    async for piece in await client.chat.completions.create(messages=MESSAGES, stream=True):
                        texts.append(piece.choices[0].delta.content or "")  # noqa: PERF401  # as above
            finally:
                texts.append(f"active {active(http)}")

    asyncio.run(run())


def active(http: httpx.Client | httpx.AsyncClient) -> int:
    """How many connections are in use; httpx has no public way to tell."""
    transport: Any = http._transport
    return sum(not connection.is_idle() and not connection.is_closed() for connection in transport._pool.connections)


calls = pytest.mark.parametrize("call", [call_sync, call_async], ids=["sync", "async"])


@calls
@pytest.mark.parametrize("row", JSON_ROWS, ids=lambda row: row[0])
def test_a_whole_answer_or_a_typed_error(call: Any, row: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault is one typed error, re-sent only where the rule says so, with no connection left in use."""
    monkeypatch.setattr("portkey_client._retry.FIRST_DELAY_SECONDS", 0.0)
    name, script, expected, requests = row
    timeout = PATIENCE if stall in script else 30
    server = serve(script)
    texts: list[str] = []

    if expected is None:
        call(server.url, texts, stream=False, timeout=timeout)
        assert "It is raining" == texts[0], name
    else:
        with pytest.raises(expected):
            call(server.url, texts, stream=False, timeout=timeout)
    assert "active 0" == texts[-1]
    assert requests == len(server.requests)


@calls
@pytest.mark.parametrize("row", STREAM_ROWS, ids=lambda row: row[0])
def test_a_whole_stream_or_a_typed_error(call: Any, row: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault in a stream is one typed error that keeps the text, with no connection left in use."""
    monkeypatch.setattr("portkey_client._retry.FIRST_DELAY_SECONDS", 0.0)
    name, script, expected, text, requests = row
    timeout = PATIENCE if stall in script and expected else 30
    server = serve(script)
    texts: list[str] = []

    if expected is None:
        call(server.url, texts, stream=True, timeout=timeout)
    else:
        with pytest.raises(expected) as caught:
            call(server.url, texts, stream=True, timeout=timeout)
        if text:
            assert text == caught.value.partial.choices[0].message.content
    assert text == "".join(texts[:-1]), name
    assert "active 0" == texts[-1]
    assert requests == len(server.requests)


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is tried again, and is then a connection error that names the URL."""
    monkeypatch.setattr("portkey_client._retry.FIRST_DELAY_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(p.APIConnectionError, match=f"127.0.0.1:{port}") as caught:
        p.Portkey(api_key="PK", base_url=f"http://127.0.0.1:{port}").chat.completions.create(messages=MESSAGES)
    assert 2 == caught.value.attempts


def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart from a host that does not answer."""

    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(p.NameResolutionError, match="Name or service not known"):
        p.Portkey(api_key="PK", base_url="http://gateway.test", max_retries=0).chat.completions.create(
            messages=MESSAGES
        )


def test_tls_to_a_plain_port() -> None:
    """A handshake that fails is a TLS error, and is not tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                stall(connection)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"

        with pytest.raises(p.TLSError) as caught:
            p.Portkey(api_key="PK", base_url=url).chat.completions.create(messages=MESSAGES)
        thread.join()
    assert 1 == caught.value.attempts


def test_a_full_pool_has_its_own_error(serve: Any) -> None:
    """One connection, one stream open on it: the second call fails here, not at the provider."""
    server = serve([open_ended(CUT_EVENTS, b"text/event-stream"), stall])

    with httpx.Client(limits=httpx.Limits(max_connections=1)) as http:
        client = p.Portkey(api_key="PK", base_url=server.url, http_client=http, timeout=PATIENCE)
        with client.chat.completions.create(messages=MESSAGES, stream=True) as stream:
            next(stream)
            with pytest.raises(p.PoolTimeoutError, match="in use here"):
                client.chat.completions.create(messages=MESSAGES)


def test_an_idle_connection_that_was_closed_is_replaced(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server hangs up as the second request arrives on a kept connection: it is sent once more, on a new one."""
    monkeypatch.setattr("portkey_client._retry.FIRST_DELAY_SECONDS", 0.0)

    def hang_up(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    server = serve([ok(ANSWER)], [hang_up], [ok(ANSWER)], keep_alive=True)

    with p.Portkey(api_key="PK", base_url=server.url, timeout=5) as client:
        for _ in range(2):
            assert "It is raining" == client.chat.completions.create(messages=MESSAGES).choices[0].message.content
    assert 3 == len(server.requests)


def test_leaving_an_async_loop_frees_the_connection(serve: Any) -> None:
    """`break` hangs up at once, although the stream is still in a variable."""
    server = serve([open_ended(CUT_EVENTS, b"text/event-stream"), stall])

    async def run() -> None:
        async with httpx.AsyncClient() as http:
            client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
            stream = await client.chat.completions.create(messages=MESSAGES, stream=True)
            async for _ in stream:
                assert 1 == active(http)
                break
            for _ in range(10):
                await asyncio.sleep(0)
            assert 0 == active(http)
            assert stream.gateway.trace_id is None

    asyncio.run(run())


def test_cancelling_an_async_call_frees_the_connection(serve: Any) -> None:
    """A cancelled call raises CancelledError, is not sent again and leaves nothing in use."""
    server = serve([stall])

    async def run() -> None:
        async with httpx.AsyncClient() as http:
            client = p.AsyncPortkey(api_key="PK", base_url=server.url, http_client=http)
            task = asyncio.ensure_future(client.chat.completions.create(messages=MESSAGES))
            while not server.requests:  # noqa: ASYNC110  # the server is a thread
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert 0 == active(http)

    asyncio.run(run())
    assert 1 == len(server.requests)
