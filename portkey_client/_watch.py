"""What times one call: its deadlines, and the socket that its answer comes from.

httpx bounds each single read, so an answer that drips never runs into a timeout; and it takes whatever stands in the
buffer of a connection for the answer to the next request. Both can be seen only where the bytes come in. httpx leads
there: the `trace` extension of a request (https://www.python-httpx.org/advanced/extensions/#trace) is told of every
connection opened for it, also by a client that the user brought. The streams of these connections are made to ask the
watch of the request in hand. Where there is no socket, in a test say, nothing is traced and nothing is guarded.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from functools import cache
from typing import Any, Final

from ._clock import Clock, ClockSlot

_OPENED: Final = frozenset({"connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete"})
_EARLY_SECONDS: Final = 0.001
"""A timer may fire that much before its time, in the rounding of the system."""
_PIECE_BYTES: Final = 64 * 1024
"""The most that is written at once."""


class Overdue(TimeoutError):
    """What came next came too late, or not at all. An OSError, as what a socket raises is."""


class UnaskedAnswerError(ConnectionError):
    """A connection held an answer before the request was sent: it belongs to no request, or to another."""


class Watch(ClockSlot):
    """The time and the connection of one call.

    Attributes:
        timeouts: httpx's four, in seconds; None is for ever.
        limits: The timeouts that httpx works with now: those, less what has passed of a deadline.
        total: Seconds from the call to the end of its answer, retries included; None is for ever.
        first_token: Seconds from the call to the first token of its answer; None is for ever, and once that has come.
        asked: Whether some of the request went out on a connection that tells of its reads.
        received: Whether something was read from it since.
        begun: Whether the request was sent for the first time, with which its time begins.
        reused: Whether no connection was opened for the request: it went out on one that had served another.
        distrusted: Whether the connection may hold more than the answer, so that no other request should use it.
    """

    __slots__ = ("asked", "begun", "distrusted", "first_token", "limits", "received", "reused", "timeouts", "total")

    def __init__(
        self,
        timeouts: Mapping[str, float | None],
        *,
        total: float | None = None,
        first_token: float | None = None,
    ) -> None:
        super().__init__()
        self.timeouts = timeouts
        self.limits = dict(timeouts)
        self.total = total
        self.first_token = first_token
        self.begun = False
        self.reused = True
        self.distrusted = False
        self.asked = False
        self.received = False

    @property
    def due(self) -> float | None:
        """When the nearest deadline of the call is, on its clock; None without one."""
        limit = self._limit()
        return None if limit is None else self.started + limit

    def begin_on(self, clock: Clock, now: float) -> None:
        """The call began now, on this clock."""
        super().begin_on(clock, now)
        self.until = self.due

    def left(self) -> float | None:
        """Seconds to the nearest deadline of the call; None without one."""
        limit = self._limit()
        return limit if limit is None or not self.begun else self.started + limit - self.clock.time()

    def allow(self, seconds: float | None) -> None:
        """All that is read from now on has to be there within `seconds`; None is for ever."""
        self.until = None
        if seconds is not None:
            self.until = self.clock.time() + seconds
            self.limits["read"] = seconds  # httpx looks that up when a body begins, for each of its reads

    def check(self) -> None:
        """Raise Overdue if what was just read should have been there before."""
        if self.until is not None and self.clock.time() > self.until:
            raise Overdue("it came too late")

    def exceeded(self, phase: str) -> str:
        """Which limit a timeout of httpx's while connecting, writing, reading or waiting for the pool ran into."""
        now = self.clock.time() - self.started + _EARLY_SECONDS
        if self.first_token is not None and now >= self.first_token:
            return f"first-token deadline, {self.first_token:g} s"
        if self.total is not None and now >= self.total:
            return f"total deadline, {self.total:g} s"
        seconds = self.timeouts[phase]
        return f"{phase} timeout" if seconds is None else f"{phase} timeout, {seconds:g} s"

    def begin(self, extensions: MutableMapping[str, Any]) -> Token[Watch | None]:
        """The request with these extensions is sent now; `end` takes the token back when its head has come.

        Raises:
            Overdue: The time of the call is over.
        """
        passed = 0.0
        if self.begun:
            passed = self.clock.time() - self.started
        else:
            self.begun = True
            self.begin_on(self.clock, self.clock.time())
        soonest = self._limit()
        if soonest is not None and soonest <= passed:
            raise Overdue("there is no time left to send the request")
        self.until = self.due
        self.limits = extensions["timeout"] = dict(self.timeouts)
        if soonest is not None:
            for step, seconds in self.timeouts.items():
                # httpx keeps to that for reading until the answer ends, so the first token is left to `until`.
                self.limits[step] = _sooner(seconds, self.total if step == "read" else soonest, passed)
        self.reused, self.asked, self.received = True, False, False
        return _in_hand.set(self)

    def end(self, token: Token[Watch | None]) -> None:
        """The request is no longer being sent."""
        _in_hand.reset(token)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow a request on its way; httpx calls this.

        Raises:
            UnaskedAnswerError: The answer was there before the request.
        """
        step = event.partition(".")[2]
        if step == "receive_response_headers.started":
            read = self.timeouts["read"]
            if read is not None:
                by = self.clock.time() + read
                self.until = by if self.until is None else min(by, self.until)
        elif step == "receive_response_headers.complete":
            self.until = self.due
            if self.asked and not self.received:
                raise UnaskedAnswerError(
                    "the connection held an answer before the request was sent, so it is an answer to no request"
                )
        elif step in _OPENED:
            self.reused = False
            _guard(info["return_value"])

    async def atrace(self, event: str, info: Mapping[str, Any]) -> None:
        """As `trace`, for httpx's async clients."""
        self.trace(event, info)

    def patience(self, timeout: float | None) -> float | None:
        """How long the next read or write may take where `timeout` is what httpx allows it.

        Raises:
            Overdue: No longer at all.
        """
        if self.until is None:
            return timeout
        left = self.until - self.clock.time()
        if left <= 0:
            raise Overdue("more was to come, but it is too late for it")
        return left if timeout is None else min(left, timeout)

    def _limit(self) -> float | None:
        if self.total is None or self.first_token is None:
            return self.total if self.first_token is None else self.first_token
        return min(self.total, self.first_token)


def _sooner(seconds: float | None, deadline: float | None, passed: float) -> float | None:
    """A timeout, or what is left to a deadline where that is less."""
    if deadline is None:
        return seconds
    return deadline - passed if seconds is None else min(seconds, deadline - passed)


_in_hand: ContextVar[Watch | None] = ContextVar("portkey_request_in_hand", default=None)
"""The watch of the request that is being sent, for the connection that it turns out to be sent on."""


def _guard(stream: Any) -> None:
    """Make a network stream of httpcore's ask the watch of the request that was last written to it."""
    tls = stream.get_extra_info("ssl_object")
    if tls is not None and tls.selected_alpn_protocol() == "h2":
        return  # one connection for many requests at a time
    if getattr(stream, "portkey_guarded", False) or not hasattr(stream, "__dict__"):
        return
    # Wrapping would need a hook that hands the wrapper on. The class rather than the methods of the one stream: bound
    # methods in their own object are a cycle, and sockets would stay open until the garbage collector comes by.
    kind: Any = type(stream)
    stream.__class__ = _guarded(kind)


@cache
def _guarded(kind: Any) -> type:
    """A subclass of a class of streams: its reads and writes keep to the watch."""

    def write(stream: Any, buffer: bytes, timeout: float | None = None) -> None:
        stream.portkey_watch = watch = _in_hand.get()
        if watch is None:
            kind.write(stream, buffer, timeout)
            return
        watch.asked = True
        whole = memoryview(buffer)
        for start in range(0, len(buffer), _PIECE_BYTES):  # the timeout is for each time that some of it is taken
            kind.write(stream, whole[start : start + _PIECE_BYTES], watch.patience(timeout))

    async def awrite(stream: Any, buffer: bytes, timeout: float | None = None) -> None:
        stream.portkey_watch = watch = _in_hand.get()
        if watch is None:
            await kind.write(stream, buffer, timeout)
            return
        watch.asked = True
        await kind.write(stream, buffer, watch.patience(timeout))

    def read(stream: Any, max_bytes: int, timeout: float | None = None) -> bytes:
        watch: Watch | None = getattr(stream, "portkey_watch", None)
        if watch is None:
            data: bytes = kind.read(stream, max_bytes, timeout)
            return data
        data = kind.read(stream, max_bytes, watch.patience(timeout))
        watch.received = watch.received or bool(data)
        return data

    async def aread(stream: Any, max_bytes: int, timeout: float | None = None) -> bytes:
        watch: Watch | None = getattr(stream, "portkey_watch", None)
        if watch is None:
            data: bytes = await kind.read(stream, max_bytes, timeout)
            return data
        data = await kind.read(stream, max_bytes, watch.patience(timeout))
        watch.received = watch.received or bool(data)
        return data

    def get_extra_info(stream: Any, info: str) -> Any:
        # What httpcore asks before it uses a connection again; bytes that nobody asked for speak against that.
        watch: Watch | None = getattr(stream, "portkey_watch", None)
        if info == "is_readable" and watch is not None and watch.distrusted:
            return True
        return kind.get_extra_info(stream, info)

    methods = {"read": aread, "write": awrite} if hasattr(kind, "aclose") else {"read": read, "write": write}
    return type(kind.__name__, (kind,), {**methods, "get_extra_info": get_extra_info, "portkey_guarded": True})
