"""No connection leaves the machine while a fake is mounted, whatever library opens it."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import io
import re
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import pytest
import trio
import urllib3

from portkey_testing import EscapedRequest, FakeGateway

NAME = "api.example.com"
PUBLIC = "203.0.114.7"
PRIVATE = "10.20.30.40"

Get = Callable[[str], bytes]


def _with_urllib(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  # the URLs are those below
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
    assert ("portkey_gateway_urls" if get is _with_aiohttp else "fake.serve()") in str(caught.value)
    assert [] == reached
    with pytest.raises(EscapedRequest):
        guarded.verify()


@gets
def test_an_http_library_reaches_this_machine(server: str, get: Get) -> None:
    """A service the test started answers, by address and by name."""
    with FakeGateway().mount():
        assert b"local" == get(server)
        assert b"local" == get(server.replace("127.0.0.1", "localhost"))


def _with_httpx(library: Any) -> Callable[[str], object]:
    def get(host: str) -> object:
        with library.Client(trust_env=False) as client:
            return client.get(f"http://{host}/")

    return get


def _with_async_httpx(library: Any, run: Callable[..., object]) -> Callable[[str], object]:
    def get(host: str) -> object:
        async def main() -> None:
            async with library.AsyncClient(trust_env=False) as client:
                await client.get(f"http://{host}/")

        return run(main)

    return get


def _with_asyncio(host: str) -> None:
    async def main() -> None:
        await asyncio.open_connection(host, 80)

    asyncio.run(main())


def _with_anyio(run: Callable[..., object]) -> Callable[[str], object]:
    def connect(host: str) -> object:
        async def main() -> None:
            await anyio.connect_tcp(host, 80)

        return run(main)

    return connect


ASKING: dict[str, Callable[[str], object]] = {
    **{library.__name__: _with_httpx(library) for library in (httpx, httpx2)},
    **{f"{library.__name__}-asyncio": _with_async_httpx(library, anyio.run) for library in (httpx, httpx2)},
    **{f"{library.__name__}-trio": _with_async_httpx(library, trio.run) for library in (httpx, httpx2)},
    "urllib": lambda host: _with_urllib(f"http://{host}/"),
    "urllib3": lambda host: _with_urllib3(f"http://{host}/"),
    "http.client": lambda host: _with_http_client(f"http://{host}/"),
    "aiohttp": lambda host: _with_aiohttp(f"http://{host}/"),
    "asyncio": _with_asyncio,
    "anyio-asyncio": _with_anyio(anyio.run),
    "anyio-trio": _with_anyio(trio.run),
    "socket": lambda host: socket.create_connection((host, 80), timeout=5),
}
"""Ways to reach a host by its name."""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What names stand for; nobody is asked over the network, and no connection is made."""
    stand_for = {NAME: PUBLIC, "database.internal": PRIVATE, "v6.internal": "fd00::1"}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        return real(stand_for.get(host, host), *args, **options)

    def refuse(self: socket.socket, address: object) -> None:
        raise ConnectionRefusedError(f"to {address}")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return stand_for


asking = pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)


@asking
@pytest.mark.usefixtures("names")
def test_a_public_name_is_out_of_reach(ask: Callable[[str], object]) -> None:
    """Whatever asks, and however it looks the name up: the failure tells the name and the line that asked."""
    fake = FakeGateway()
    with fake.mounted(), suppress(BaseException):
        ask(NAME)

    with pytest.raises(EscapedRequest, match=f"To let it pass, name '{NAME}'") as told:
        fake.verify()
    assert f"It comes from {__file__}:" in str(told.value)
    assert not isinstance(told.value, Exception)


@asking
@pytest.mark.parametrize("pattern", ["API.example.*", "api.example.com.", "*"])
@pytest.mark.usefixtures("names")
def test_an_allowed_name_is_allowed_where_it_leads(ask: Callable[[str], object], pattern: str) -> None:
    """The connection is made to an address, and belongs to the name all the same."""
    fake = FakeGateway(allow_hosts=[pattern])
    with (
        fake.mount(),
        pytest.raises(Exception, match=r"refused|All connection attempts|Cannot connect|to connect to|203"),
    ):
        ask(NAME)


@pytest.mark.parametrize("ask", [ASKING["urllib3"], ASKING["httpx"], ASKING["socket"]])
@pytest.mark.usefixtures("names")
def test_a_name_that_is_not_allowed_is_not_allowed_by_another(ask: Callable[[str], object]) -> None:
    """Patterns are compared whole."""
    with FakeGateway(allow_hosts=["example.com", "api.example"]).mounted(), pytest.raises(EscapedRequest):
        ask(NAME)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("host", ["database.internal", "v6.internal"])
def test_a_raw_connection_reaches_a_private_name(host: str) -> None:
    """A driver finds its database by name, over IPv4 and IPv6."""
    with FakeGateway().mount():
        for ask in (ASKING["socket"], ASKING["asyncio"]):
            with pytest.raises(ConnectionRefusedError):
                ask(host)


def test_this_machine_has_many_names(server: str) -> None:
    """An absolute name, capitals, the machine's own name and its own address in a network stay on it."""
    own = [host for host in (socket.gethostname(), _own_address()) if host]
    with FakeGateway().mount():
        assert b"local" == _with_urllib3(server.replace("127.0.0.1", "LOCALHOST"))
        for host in ("localhost.", "127.0.0.2", *own):
            # Nobody may listen there; it is refused, or answered, but nobody holds it back.
            with suppress(OSError, urllib3.exceptions.HTTPError):
                _with_urllib3(server.replace("127.0.0.1", host))


def _own_address() -> str | None:
    """An address of this machine's that is not its loopback; None without a network."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((PUBLIC, 53))  # nothing is sent
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("allow_hosts", "error", "said"),
    [
        ("api.example.com", TypeError, r"a list of patterns, as in \['api.example.com'\]"),
        (["https://api.example.com"], ValueError, "without scheme"),
        (["api.example.com:443"], ValueError, "port"),
        (["10.0.0.0/8"], ValueError, "mask"),
    ],
)
def test_a_pattern_that_would_never_match_is_refused(allow_hosts: Any, error: type[Exception], said: str) -> None:
    """Rather than letting nothing through without a word."""
    with pytest.raises(error, match=said):
        FakeGateway(allow_hosts=allow_hosts)


@pytest.mark.usefixtures("names")
def test_the_line_is_one_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an installed package asks on the project's behalf, the project's own line is the one to look at."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "vendored_sdk.py").write_text(
        "import urllib.request\n\ndef fetch(url):\n    return urllib.request.urlopen(url)\n"
    )
    monkeypatch.syspath_prepend(folder)
    fetch = importlib.import_module("vendored_sdk").fetch

    with FakeGateway().mounted(), pytest.raises(EscapedRequest, match=f"It comes from {re.escape(__file__)}:"):
        fetch(f"http://{NAME}/")


# Proxies and sockets of this machine that lead on


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("get", [_with_urllib, _with_urllib3])
def test_a_proxy_on_this_machine_is_no_way_out(
    scheme: str, get: Get, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is where a request goes in the end."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, server)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it may have been made for other proxies
    if get is _with_urllib3:
        monkeypatch.setattr(urllib3, "PoolManager", lambda: urllib3.ProxyManager(server, retries=False))

    with FakeGateway().mounted(), pytest.raises(EscapedRequest, match=f"{NAME}.*through a proxy"):
        get(f"{scheme}://{NAME}/")


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_httpx_is_judged_by_what_it_asks_the_proxy_for(library: Any, server: str) -> None:
    """An allowed host is reached through a proxy on this machine, others are not."""
    with FakeGateway(allow_hosts=[NAME]).mounted(), library.Client(proxy=server) as client:
        assert b"local" == client.get(f"http://{NAME}/").content
        with pytest.raises(EscapedRequest, match=r"other\.example\.com"):
            client.get("http://other.example.com/")


@contextmanager
def _unix_server() -> Generator[str]:
    """An HTTP service on a socket in the file system."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = str(Path(folder, "s"))
        listening.bind(path)
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlocal")

        thread = threading.Thread(target=answer)
        thread.start()
        yield path
        thread.join(timeout=5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("run", [None, anyio.run])
def test_a_unix_socket_is_on_this_machine(library: Any, run: Callable[..., Any] | None) -> None:
    """Whatever host the URL names, as that of a container engine."""

    async def get(path: str) -> bytes:
        async with library.AsyncClient(transport=library.AsyncHTTPTransport(uds=path)) as client:
            content: bytes = (await client.get("http://docker/info")).content
            return content

    with _unix_server() as path, FakeGateway().mount():
        if run is not None:
            assert b"local" == run(get, path)
            return
        with library.Client(transport=library.HTTPTransport(uds=path)) as client:
            assert b"local" == client.get("http://docker/info").content


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
@pytest.mark.parametrize("address", ["::1", "fd00::1", "fe80::1%lo", "::ffff:10.1.2.3"])
def test_private_ipv6_is_reached(reached: list[object], address: str) -> None:
    """As private IPv4 is."""
    _connect(address, socket.AF_INET6)

    assert [(address, 5432)] == reached


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("address", ["nowhere", ("127.0.0.1",), None])
def test_an_address_that_is_none_stays_the_business_of_the_socket(reached: list[object], address: object) -> None:
    """The guard raises nothing of its own about it."""
    with socket.socket() as connection:
        connection.connect(address)  # type: ignore[arg-type] # which is the point

    assert [address] == reached


@pytest.mark.usefixtures("guarded")
def test_a_server_may_ask_its_database(reached: list[object]) -> None:
    """What the handler of an HTTP server connects to is not the server's connection."""

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            self.rfile, self.wfile = io.BufferedReader(io.BytesIO(b"GET / HTTP/1.0\r\n\r\n")), io.BytesIO()

        def finish(self) -> None:
            """Nothing is open."""

        def do_GET(self) -> None:
            _connect(PRIVATE)

    with socket.socket() as connection:
        Handler(connection, ("127.0.0.1", 1), None)  # type: ignore[arg-type] # it asks no server for anything

    assert [(PRIVATE, 5432)] == reached


def test_a_name_stands_for_its_address(names: dict[str, str], reached: list[object]) -> None:
    """A raw socket that is given a name is judged by what that resolves to; one that leads nowhere is not."""
    with FakeGateway().mounted():
        _connect("database.internal")
        with pytest.raises(EscapedRequest, match=rf"{NAME} \({PUBLIC}\), port 5432"):
            _connect(NAME)
        names["nowhere.example"] = "not an address"
        _connect("nowhere.example")

    assert [("database.internal", 5432), ("nowhere.example", 5432)] == reached


@pytest.mark.usefixtures("guarded")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_sockets_that_are_no_connections_are_left_alone(reached: list[object]) -> None:
    """Unix sockets stay on the machine by nature; datagrams are no connections."""
    with socket.socket(socket.AF_UNIX) as local, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        local.connect("/run/database.sock")
        datagrams.connect((PUBLIC, 53))
        with suppress(OSError):  # there may be no network
            datagrams.sendto(b"", (PUBLIC, 53))

    assert ["/run/database.sock", (PUBLIC, 53)] == reached


def test_everything_is_put_back(server: str) -> None:
    """Also after a test that failed; a thread that goes on afterwards is nobody's business any more."""
    before = (
        socket.getaddrinfo,
        socket.socket.connect,
        socket.socket.connect_ex,
        http.client.HTTPConnection.putrequest,
    )
    go_on, answers = threading.Event(), list[bytes]()

    def linger() -> None:
        go_on.wait(5)
        answers.append(_with_urllib3(server))

    def fail() -> None:
        with FakeGateway().mount():
            thread.start()
            raise ZeroDivisionError

    thread = threading.Thread(target=linger)
    with pytest.raises(ZeroDivisionError):
        fail()
    go_on.set()
    thread.join()

    after = (socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex, http.client.HTTPConnection.putrequest)
    assert before == after
    assert [b"local"] == answers


def test_a_recorder_in_the_place_of_connections_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the class that vcrpy puts there for a test, which has only some of the methods."""

    class Recorder:
        """Stands in for `http.client.HTTPConnection`."""

        def putrequest(self) -> None:
            """Records."""

    recording = Recorder.putrequest
    monkeypatch.setattr(http.client, "HTTPConnection", Recorder)

    with FakeGateway().mounted():
        assert recording is Recorder.putrequest


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
