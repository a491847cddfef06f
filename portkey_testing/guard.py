"""Connections that would leave the machine while a fake is mounted.

HTTP libraries may talk to this machine only: an application under test has no business on the network, and a mock that
was forgotten must not become a bill. Everything else, such as the driver of a database, may reach private networks
too, and is stopped at public addresses.

What httpx and httpx2 send is judged by the mount, request by request. Here are the rest: Python's sockets, which
urllib3, http.client and everything built on them use, and aiohttp, whose connections begin in a task of their own that
no longer knows who asked (it is found if it was imported before the fake was mounted). What opens connections without
Python's sockets (uvloop, a driver in C) is not seen.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from types import FrameType
from typing import Any, Final

from portkey_testing._patching import InPlace, Patches
from portkey_testing.failures import EscapedRequest

RULE: Final = "escaped_requests"
"""The name by which a test switches the guard off."""

_HTTP: Final = frozenset(
    {"aiohappyeyeballs", "aiohttp", "http", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3"}
)
"""Libraries that are held to this machine."""

LIBRARIES: Final = _HTTP | {
    *("portkey_client", "portkey_testing", "respx", "openai", "anthropic", "portkey_ai", "urllib"),
    *("anyio", "asyncio", "concurrent", "contextlib", "selectors", "socket", "ssl", "threading", "trio", "uvloop"),
}
"""Top-level modules whose frames stand between a test and the network, and tell its author nothing."""


class Guard:
    """What one fake lets through.

    Args:
        allow_hosts: Patterns of host names and addresses that may be reached, such as `*.corp.example`.
        report: Told about each failure, since the application may swallow the one that is raised.
        is_off: Whether the test has switched the guard off.
    """

    def __init__(
        self, allow_hosts: Iterable[str], report: Callable[[EscapedRequest], None], is_off: Callable[[], bool]
    ) -> None:
        self._allow_hosts = tuple(allow_hosts)
        self._report = report
        self._is_off = is_off

    def hold_http(self, what: str, host: str) -> None:
        """Judge a connection of an HTTP library; `what` describes it.

        Raises:
            EscapedRequest: it would leave this machine.
        """
        if not _is_this_machine(host):
            self._hold(what, host)

    def hold_socket(self, what: str, host: str) -> None:
        """Judge a connection of anything else.

        Raises:
            EscapedRequest: it would reach a public address.
        """
        if _is_public(host):
            self._hold(what, host)

    def _hold(self, what: str, host: str) -> None:
        if (
            is_open_for_recording()
            or self._is_off()
            or any(fnmatchcase(host.lower(), pattern.lower()) for pattern in self._allow_hosts)
        ):
            return
        failure = EscapedRequest(
            f"{what} would leave this machine, and a test with the fake gateway must not. It comes from {call_site()}. "
            "Mock that service, for example with respx_mock. If it is a gateway of yours, name its base URL in the ini "
            f"option portkey_gateway_urls or in FakeGateway(gateway_urls=...). To let it pass, name {host!r} in "
            "portkey_allow_hosts or in allow_hosts=..., or switch the guard off with "
            f"fake.allow({RULE!r})."
        )
        self._report(failure)
        raise failure


def call_site() -> str:
    """File and line of the nearest frame that belongs to no library."""
    for frame in _stack():
        if _root(frame) not in LIBRARIES:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return f"a task or thread of its own ({threading.current_thread().name})"


# Requests to the real gateway, while a cassette is recorded

_OPEN_FOR_RECORDING: Final = ContextVar("portkey_testing_open_for_recording", default=False)


@contextmanager
def open_for_recording() -> Iterator[None]:
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


def watching(guard: Guard) -> AbstractContextManager[None]:
    """Let `guard` judge the connections of the process until the block is left; the latest one judges."""
    return _ON_WATCH.entered(guard)


def _patch(patches: Patches) -> None:
    _patch_socket_method(patches, "connect")
    _patch_socket_method(patches, "connect_ex")
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        # Looking a name up is harmless for others, but an HTTP library is about to connect to it.
        if isinstance(host, str) and _comes_from_http():
            _judge(Guard.hold_http, f"a connection to {host}", host)
        return look_up(host, *args, **kwargs)

    patches.replace(socket, "getaddrinfo", getaddrinfo)
    if (aiohttp := sys.modules.get("aiohttp")) is not None:
        _patch_aiohttp(patches, aiohttp)


def _patch_socket_method(patches: Patches, name: str) -> None:
    original = getattr(socket.socket, name)

    def connect(self: socket.socket, address: Any, /) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6} and self.type & socket.SOCK_STREAM:
            host, port = address[:2]
            hold = Guard.hold_http if _comes_from_http() else Guard.hold_socket
            try:
                _judge(hold, f"a connection to {host}, port {port},", host)
            except EscapedRequest:
                self.close()  # not every caller does: asyncio leaves it to the garbage collector
                raise
        return original(self, address)

    patches.replace(socket.socket, name, connect)


def _patch_aiohttp(patches: Patches, aiohttp: Any) -> None:
    original = aiohttp.TCPConnector.connect

    async def connect(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        _judge(Guard.hold_http, f"{request.method} {request.url}", request.url.host or "")
        return await original(self, request, *args, **kwargs)

    patches.replace(aiohttp.TCPConnector, "connect", connect)


_ON_WATCH: Final = InPlace[Guard](_patch)


def _judge(hold: Callable[[Guard, str, str], None], what: str, host: str) -> None:
    guard = _ON_WATCH.latest
    if guard is not None:
        hold(guard, what, host)


def _comes_from_http() -> bool:
    return any(_root(frame) in _HTTP for frame in _stack())


def _stack() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.currentframe is the same and costs its import
    while frame is not None:
        yield frame
        frame = frame.f_back


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def _is_public(host: str) -> bool:
    """Whether an address, or the one a name stands for, is reached over the internet."""
    address = _address(host)
    if address is None:
        address = _address(socket.gethostbyname(host))
    return address is not None and address.is_global


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
