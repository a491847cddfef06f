"""No connection leaves the machine while a fake is mounted, whatever library opens it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import urllib3

from portkey_testing import EscapedRequest, FakeGateway

NAME = "api.example.com"
PUBLIC = "203.0.114.7"
PRIVATE = "10.20.30.40"

Get = Callable[[str], bytes]


def _with_urllib(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - the URLs are those below
        body: bytes = response.read()
        return body


def _with_urllib3(url: str) -> bytes:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", url, timeout=5).data


def _with_aiohttp(url: str) -> bytes:
    async def main() -> bytes:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.read()

    return asyncio.run(main())


def _with_http_client(url: str) -> bytes:
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    connection = http.client.HTTPConnection(host, int(port or 80), timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


gets = pytest.mark.parametrize("get", [_with_urllib, _with_urllib3, _with_aiohttp, _with_http_client])


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Which addresses sockets connect to; none of them really does."""
    addresses: list[object] = []

    def connect(self: socket.socket, address: object) -> int:
        addresses.append(address)
        return 0

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    return addresses


@pytest.fixture
def guarded(reached: list[object]) -> Iterator[FakeGateway]:
    """A mounted fake, over sockets that go nowhere."""
    fake = FakeGateway()
    with fake.mounted():
        yield fake


@gets
@pytest.mark.parametrize("host", [NAME, PUBLIC, PRIVATE])
def test_an_http_library_stays_on_this_machine(
    guarded: FakeGateway, reached: list[object], get: Get, host: str
) -> None:
    """A name, a public address and a private one fail at the line that asks, before anything is sent."""
    with pytest.raises(EscapedRequest, match=f"(?s)http://{host}/|connection to {host}") as caught:
        get(f"http://{host}/")

    assert __file__ in str(caught.value)
    assert [] == reached
    with pytest.raises(EscapedRequest):
        guarded.verify()


@gets
def test_an_http_library_reaches_this_machine(server: str, get: Get) -> None:
    """A service the test started answers, by address and by name."""
    with FakeGateway().mount():
        assert b"local" == get(server)
        assert b"local" == get(server.replace("127.0.0.1", "localhost"))


@gets
def test_an_allowed_host_is_let_through(server: str, monkeypatch: pytest.MonkeyPatch, get: Get) -> None:
    """By the name it is asked for, though the address behind it would be fine as well."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **options: real("127.0.0.1", *rest, **options))

    with FakeGateway(allow_hosts=["API.example.*"]).mount():
        assert b"local" == get(server.replace("127.0.0.1", NAME))


def _connect(address: str, family: int = socket.AF_INET) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.connect((address, 5432))


def _connect_ex(address: str) -> None:
    with socket.socket() as connection:
        connection.connect_ex((address, 5432))


def _create_connection(address: str) -> None:
    socket.create_connection((address, 5432), timeout=5).close()


def _open_connection(address: str) -> None:
    async def main() -> None:
        await asyncio.open_connection(address, 5432)

    asyncio.run(main())


raw = pytest.mark.parametrize("connect", [_connect, _connect_ex, _create_connection])


@pytest.mark.parametrize("connect", [_connect, _connect_ex, _create_connection, _open_connection])
def test_a_raw_socket_does_not_reach_a_public_address(
    guarded: FakeGateway, reached: list[object], connect: Callable[[str], None]
) -> None:
    """A driver that connects to the internet fails at the line that asks."""
    with pytest.raises(EscapedRequest, match=f"connection to {PUBLIC}, port 5432") as caught:
        connect(PUBLIC)

    assert __file__ in str(caught.value)
    assert [] == reached


@raw
@pytest.mark.parametrize("address", [PRIVATE, "192.168.1.2", "169.254.1.1", "127.0.0.1"])
@pytest.mark.usefixtures("guarded")
def test_a_raw_socket_reaches_private_networks(
    reached: list[object], connect: Callable[[str], None], address: str
) -> None:
    """Databases of the test's own keep working."""
    connect(address)

    assert [(address, 5432)] == reached


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("address", ["2606:4700::1111", "::ffff:203.0.114.7"])
def test_ipv6_is_judged_alike(address: str) -> None:
    """Also where it stands for an IPv4 address."""
    with pytest.raises(EscapedRequest):
        _connect(address, socket.AF_INET6)


@pytest.mark.usefixtures("guarded")
def test_a_name_stands_for_its_address(monkeypatch: pytest.MonkeyPatch, reached: list[object]) -> None:
    """A raw socket that is given a name is judged by what that resolves to."""
    monkeypatch.setattr(socket, "gethostbyname", {"database.internal": PRIVATE, NAME: PUBLIC}.__getitem__)

    _connect("database.internal")
    with pytest.raises(EscapedRequest, match=NAME):
        _connect(NAME)

    assert [("database.internal", 5432)] == reached


@pytest.mark.usefixtures("guarded")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_sockets_that_are_no_connections_are_left_alone(reached: list[object]) -> None:
    """Unix sockets stay on the machine by nature; datagrams are no connections."""
    with socket.socket(socket.AF_UNIX) as local, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        local.connect("/run/database.sock")
        datagrams.connect((PUBLIC, 53))

    assert ["/run/database.sock", (PUBLIC, 53)] == reached


def test_a_connection_in_a_thread_is_told_at_the_end(guarded: FakeGateway) -> None:
    """What a background thread swallows fails the test all the same, and names the line in the thread."""

    def swallow() -> None:
        with suppress(EscapedRequest):
            _connect(PUBLIC)

    thread = threading.Thread(target=swallow)
    thread.start()
    thread.join()

    with pytest.raises(EscapedRequest, match=__file__):
        guarded.verify()


def test_the_innermost_fake_judges(reached: list[object]) -> None:
    """A fake that allows a host does so while it is mounted, and no longer."""
    with FakeGateway().mounted():
        with FakeGateway(allow_hosts=[PUBLIC]).mounted():
            _connect(PUBLIC)
        with pytest.raises(EscapedRequest):
            _connect(PUBLIC)

    assert [(PUBLIC, 5432)] == reached


def test_a_patch_of_another_library_over_ours_keeps_working(
    reached: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever patches sockets while a fake is mounted finds their patch in place afterwards, and nothing guarded."""
    seen: list[object] = []

    def theirs(self: socket.socket, address: object) -> None:
        seen.append(address)
        ours(self, address)

    with FakeGateway().mounted():
        ours: Callable[[socket.socket, Any], None] = socket.socket.connect
        monkeypatch.setattr(socket.socket, "connect", theirs)

    _connect(PUBLIC)

    assert [(PUBLIC, 5432)] == seen == reached
