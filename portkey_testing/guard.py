"""Connections that would leave the machine while a fake is mounted.

HTTP libraries may talk to this machine only: an application under test has no business on the network, and a mock that
was forgotten must not become a bill. Everything else, such as the driver of a database, may reach private networks
too, and is stopped at public addresses. Datagrams are no connections and go where they like.

What httpx and httpx2 send is judged by the mount, request by request. Here are the rest: Python's sockets, which
urllib3, http.client and everything built on them use, and aiohttp, which knows the name of the host where sockets only
know an address. If it was imported before the fake was mounted, it is judged by name, once the mount has taken what is
the gateway's; else by address. A host that is allowed by name is allowed at each address that the name has stood for
since the fake was mounted. What opens connections without Python's sockets (uvloop, asyncio on Windows, a driver in C)
is not seen.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from portkey_testing._patching import InPlace, Patches
from portkey_testing._stack import call_site, comes_from_http, frames, root
from portkey_testing.failures import EscapedRequest

RULE: Final = "escaped_requests"
"""The name by which a test switches the guard off."""

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


_OF_MOUNTED: Final = "name its base URL in the ini option portkey_gateway_urls or in FakeGateway(gateway_urls=...)"
_OF_OTHERS: Final = "fake.serve() brings the fake within reach of what is neither httpx nor aiohttp"


class Guard:
    """What one fake lets through.

    Args:
        allow_hosts: Patterns of host names and addresses that may be reached, as `host_patterns` gives them.
        report: Told about each failure, since the application may swallow the one that is raised.
        is_off: Whether the test has switched the guard off.
    """

    def __init__(
        self, allow_hosts: Iterable[str], report: Callable[[EscapedRequest], None], is_off: Callable[[], bool]
    ) -> None:
        self._patterns = tuple(allow_hosts)
        self._report = report
        self._is_off = is_off

    def hold_http(self, what: str, host: str, names: Iterable[str] = (), *, is_mounted: bool = True) -> None:
        """Judge a connection of an HTTP library.

        Args:
            what: Describes it.
            host: Where it leads: a name or an address.
            names: What that address has been looked up as.
            is_mounted: The fake answers what that library sends to a gateway.

        Raises:
            EscapedRequest: it would leave this machine.
        """
        if not _is_this_machine(host):
            self._hold(what, host, names, _OF_MOUNTED if is_mounted else _OF_OTHERS)

    def hold_socket(self, what: str, host: str, names: Iterable[str] = ()) -> None:
        """Judge a connection of anything else; the arguments are those of `hold_http`, and `host` is an address.

        Raises:
            EscapedRequest: it would reach a public address.
        """
        address = _address(host)
        if address is not None and address.is_global:
            self._hold(what, host, names, _OF_OTHERS)

    def _hold(self, what: str, host: str, names: Iterable[str], if_gateway: str) -> None:
        known = [*names, host]
        if (
            _OPEN_FOR_RECORDING.get()
            or _JUDGED.get()
            or self._is_off()
            or any(fnmatchcase(_plain(name), pattern) for name in known for pattern in self._patterns)
            or _over_unix_socket()
        ):
            return
        failure = EscapedRequest(
            f"{what} would leave this machine, and a test with the fake gateway must not. It comes from {call_site()}. "
            f"Mock that service, for example with respx_mock. If it is a gateway of yours, {if_gateway}. To let it "
            f"pass, name {known[0]!r} in portkey_allow_hosts or in allow_hosts=..., or switch the guard off with "
            f"fake.allow({RULE!r})."
        )
        self._report(failure)
        raise failure


def host_patterns(allow_hosts: Iterable[str]) -> tuple[str, ...]:
    """Patterns of hosts, checked and spelt as they are compared.

    Raises:
        TypeError: it is a single text.
        ValueError: a pattern is more than a host, such as a URL, and would never match.
    """
    if isinstance(allow_hosts, str):
        raise TypeError(f"allow_hosts takes a list of patterns, as in [{allow_hosts!r}], not a single text")
    return tuple(_pattern(host) for host in allow_hosts)


def _pattern(host: str) -> str:
    if "/" in host or host.count(":") == 1:  # more than one is an IPv6 address
        raise ValueError(
            "allow_hosts takes patterns of host names or addresses, such as '*.corp.example' or '10.*', without "
            f"scheme, port, path or mask; not {host!r}"
        )
    return _plain(host)


def _plain(host: str) -> str:
    """A name as it is compared: in lower case, and without the dot that ends an absolute one."""
    return host.lower().rstrip(".")


# Requests to the real gateway, while a cassette is recorded

_OPEN_FOR_RECORDING: Final = ContextVar("portkey_testing_open_for_recording", default=False)


@contextmanager
def open_for_recording() -> Generator[None]:
    """Let everything pass that this task or thread does within the block."""
    token = _OPEN_FOR_RECORDING.set(True)
    try:
        yield
    finally:
        _OPEN_FOR_RECORDING.reset(token)


def is_open_for_recording() -> bool:
    """Whether this is within such a block."""
    return _OPEN_FOR_RECORDING.get()


# Where the guards stand

_JUDGED: Final = ContextVar("portkey_testing_judged", default=False)
"""Whether this task connects for a request that may go where it goes."""


def watching(guard: Guard) -> AbstractContextManager[None]:
    """Let `guard` judge the connections of the process until the block is left; the latest one judges."""
    return _ON_WATCH.entered(guard)


def guards_on_watch() -> int:
    """How many there are; only the latest judges."""
    return _ON_WATCH.count


def _patch(patches: Patches) -> None:
    names = _Names(socket.getaddrinfo)
    patches.replace(socket, "getaddrinfo", names.getaddrinfo)
    for name in ("connect", "connect_ex"):
        patches.replace(socket.socket, name, _connecting(getattr(socket.socket, name), names))
    patches.when_imported("http.client", partial(_patch_http_client, patches))
    patches.when_imported("aiohttp", partial(_patch_aiohttp, patches))


class _Names:
    """What names have been looked up, and the addresses they stand for.

    Args:
        look_up: The original `socket.getaddrinfo`.
    """

    def __init__(self, look_up: Callable[..., Any]) -> None:
        self._look_up = look_up
        self._names: dict[str, dict[str, None]] = {}

    def getaddrinfo(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        name = _decoded(host)
        # Looking a name up is harmless for others, but an HTTP library is about to connect to it.
        if name and comes_from_http():
            _judge(_hold_http, f"a connection to {name}", name)
        found = self._look_up(host, *args, **kwargs)
        if name:
            for family, _, _, _, address in found:
                if family in _INTERNET:
                    self._names.setdefault(address[0], {})[name] = None
        return found

    def of(self, address: str) -> list[str]:
        """What an address has been looked up as, the latest last."""
        return [name for name in self._names.get(address, ()) if name != address]

    def addresses(self, host: str, family: int) -> list[str]:
        """The addresses of a host; none if there are none, as connecting will say."""
        if _address(host) is not None:
            return [host]
        try:
            return [address[0] for *_, address in self._look_up(host, None, family, socket.SOCK_STREAM)]
        except OSError:
            return []


_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})


def _connecting(original: Callable[..., Any], names: _Names) -> Callable[..., Any]:
    def connect(self: socket.socket, address: Any, /) -> Any:
        if self.family in _INTERNET and self.type & socket.SOCK_STREAM and isinstance(address, tuple):
            try:
                _judge_connection(names, self.family, *address[:2])
            except EscapedRequest:
                self.close()  # not every caller does: asyncio leaves it to the garbage collector
                raise
        return original(self, address)

    return connect


def _judge_connection(names: _Names, family: int, host: Any = "", port: Any = 0) -> None:
    name = _decoded(host)
    hold = _hold_http if comes_from_http() else Guard.hold_socket
    for address in names.addresses(name, family):
        known = [name] if name != address else names.of(address)
        shown = f"{known[-1]} ({address})" if known else address
        _judge(hold, f"a connection to {shown}, port {port},", address, known[::-1])


def _patch_http_client(patches: Patches, http_client: Any) -> None:
    """Requests through a proxy: it may be on this machine, and what it is asked for is not."""
    connection = http_client.HTTPConnection
    if not hasattr(connection, "set_tunnel"):
        return  # vcrpy's, which records or replays what is asked of it
    put, tunnel = connection.putrequest, connection.set_tunnel

    def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if url.startswith(("http://", "https://")) and (host := urlsplit(url).hostname):
            _judge(_hold_http, f"{method} {url}, through a proxy,", host)
        return put(self, method, url, *args, **kwargs)

    def set_tunnel(self: Any, host: str, port: int | None = None, *args: Any, **kwargs: Any) -> Any:
        _judge(_hold_http, f"a connection to {host}, through a proxy,", host)
        return tunnel(self, host, port, *args, **kwargs)

    patches.replace(connection, "putrequest", putrequest)
    patches.replace(connection, "set_tunnel", set_tunnel)


def _patch_aiohttp(patches: Patches, aiohttp: Any) -> None:
    original = aiohttp.TCPConnector.connect

    async def connect(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        _judge(Guard.hold_http, f"{request.method} {request.url}", request.url.host or "")
        # Its resolver may look names up without Python's, and it keeps what it has found.
        token = _JUDGED.set(True)
        try:
            return await original(self, request, *args, **kwargs)
        finally:
            _JUDGED.reset(token)

    patches.replace(aiohttp.TCPConnector, "connect", connect)


_hold_http: Final = partial(Guard.hold_http, is_mounted=False)
_ON_WATCH: Final = InPlace[Guard](_patch)


def _judge(hold: Callable[..., None], what: str, host: str, names: Iterable[str] = ()) -> None:
    guard = _ON_WATCH.latest
    if guard is not None:
        hold(guard, what, host, names)


# Hosts


def _decoded(host: Any) -> str:
    """A host as text; anyio looks names up as bytes."""
    return host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host or ""


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified or _is_own(address)
    name = _plain(host)
    return name in {"", "localhost", _plain(socket.gethostname())} or name.endswith(".localhost")


def _is_own(address: IPAddress) -> bool:
    """Whether it is an address of this machine's in some network: only those can be listened on."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _over_unix_socket() -> bool:
    """Whether a transport of httpx sends this to a socket in the file system, whatever host its URL names."""
    pools = (
        frame.f_locals.get(name)
        for frame in frames()
        if root(frame) in {"respx", "portkey_testing"}
        for name in ("self", "pool")
    )
    return any(isinstance(getattr(pool, "_uds", None), str) for pool in pools)


def _address(host: str) -> IPAddress | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
