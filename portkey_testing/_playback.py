"""Plays a `Timeline` to a client: one object that is both a sync and an async byte stream.

It knows the clock, not who made the timeline. A wait that would outlast the client's timeout becomes that timeout, and
a cut becomes the exception a socket would give, in the classes of the library that the client uses.
"""

# ruff: noqa: N802 - the exceptions are called what the libraries call them

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Protocol

import httpx

from portkey_client._clock import Clock, ClockSlot
from portkey_testing.failures import HangingRequest
from portkey_testing.faults import WireFault, wire_fault
from portkey_testing.timeline import Cut, Ending, Frame, Outcome, Timeline, Timeouts

_TIMEOUT_OF: Final = {"connect": "connect", "request": "write"}
"""The client's timeout for each phase; any other is that for reading."""


class ExceptionClasses(Protocol):
    """A module that has the exceptions of an HTTP library: httpx, httpx2, httpcore or httpcore2.

    They are properties, since what could be assigned to would have to be `Exception` itself, and none below it.
    """

    @property
    def ConnectError(self) -> type[Exception]: ...
    @property
    def ConnectTimeout(self) -> type[Exception]: ...
    @property
    def ReadError(self) -> type[Exception]: ...
    @property
    def ReadTimeout(self) -> type[Exception]: ...
    @property
    def RemoteProtocolError(self) -> type[Exception]: ...
    @property
    def WriteTimeout(self) -> type[Exception]: ...


class Playback(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of one answer. Call `start` or `astart` first: it waits for the headers, or raises in their place."""

    def __init__(
        self,
        timeline: Timeline,
        clock: Clock,
        timeouts: Timeouts,
        library: ExceptionClasses,
        slot: ClockSlot | None = None,
    ) -> None:
        self._timeline = timeline
        self._clock = clock
        self._timeouts = timeouts
        self._library = library
        self._slot = slot
        self._steps = iter(timeline.frames)
        self._frames = 0
        self._over = False
        self._in_loop = False

    def start(self) -> None:
        wait, error = self._opening()
        if wait:
            self._clock.sleep(wait)
        if error is not None:
            self._end("cut", error)
            raise error

    async def astart(self) -> None:
        self._in_loop = True
        wait, error = self._opening()
        try:
            # Even without a wait: every arrival is a checkpoint, so that parallel calls overlap.
            await self._clock.asleep(wait)
        except BaseException:
            self._end("closed")
            raise
        if error is not None:
            self._end("cut", error)
            raise error

    def __iter__(self) -> Iterator[bytes]:
        for step in self._steps:
            if isinstance(step, Frame):
                gap, data = step
                if gap:
                    self._wait_for(gap)
                self._frames += 1
                yield data
            else:
                wait, error = self._breaking(step)
                self._clock.sleep(wait)
                self._break(error)
                return
        self._end("complete")

    def __aiter__(self) -> Playback:
        return self

    async def __anext__(self) -> bytes:
        # No generator: one that a client leaves before its end would be closed whenever the garbage collector comes by,
        # and trio complains of that.
        step = next(self._steps, None)
        if step is None:
            self._end("complete")
            raise StopAsyncIteration
        if isinstance(step, Frame):
            gap, data = step
            if gap:
                await self._await_for(gap)
            self._frames += 1
            return data
        wait, error = self._breaking(step)
        await self._clock.asleep(wait)
        self._break(error)
        raise StopAsyncIteration

    def close(self) -> None:
        if not self._over:
            # A client that closes after the last frame, having seen [DONE] in it, has read everything.
            self._end("complete" if next(self._steps, None) is None else "closed")

    async def aclose(self) -> None:
        self.close()

    def _wait_for(self, gap: float) -> None:
        limit = self._patience()
        if limit is None or gap <= limit:
            self._clock.sleep(gap)
        else:
            self._clock.sleep(limit)
            self._break(self._error(wire_fault("stall")))

    async def _await_for(self, gap: float) -> None:
        limit = self._patience()
        if limit is None or gap <= limit:
            await self._clock.asleep(gap)
        else:
            await self._clock.asleep(limit)
            self._break(self._error(wire_fault("stall")))

    def _patience(self) -> float | None:
        """How long the client waits for what comes next: its read timeout, less where a deadline is nearer."""
        limit, until = self._timeouts.read, None if self._slot is None else self._slot.until
        if until is None:
            return limit
        left = max(0.0, until - self._clock.time())
        return left if limit is None else min(limit, left)

    def _opening(self) -> tuple[float, BaseException | None]:
        """How long the client waits for the headers, and what it gets instead of them."""
        timeline, limit = self._timeline, self._patience()
        if timeline.cut is not None:
            wait, error = self._breaking(timeline.cut)
            wait += timeline.delay
            if wire_fault(timeline.cut.fault).phase in ("connect", "request"):
                return wait, error
        else:
            wait, error = timeline.delay, None
        if limit is not None and wait > limit:
            return limit, self._error(wire_fault("stall_before_headers"))
        return wait, error

    def _breaking(self, cut: Cut) -> tuple[float, BaseException | None]:
        """How long until the connection breaks at `cut`, and what the client is told."""
        fault = wire_fault(cut.fault)
        wait = cut.gap
        if fault.waits:
            phase = _TIMEOUT_OF.get(fault.phase, "read")
            limit: float | None = self._patience() if phase == "read" else getattr(self._timeouts, phase)
            if limit is None:
                return math.inf, HangingRequest(
                    f"the fault {fault.name!r} is silence, and the client has no {phase} timeout: it would wait for "
                    "ever. Give the client a timeout."
                )
            wait = limit
        return wait, self._error(fault)

    def _error(self, fault: WireFault) -> BaseException | None:
        if fault.raises is None:
            return None
        raised: type[Exception] = getattr(self._library, fault.raises)
        message = fault.message if fault.async_message is None or not self._in_loop else fault.async_message
        error = raised(message.format(**self._lengths()) if "{" in message else message)
        if fault.cause is not None:
            # As httpcore leaves it: hidden from the traceback, but there for those who ask what it was.
            error.__context__ = fault.cause()
            error.__suppress_context__ = True
        return error

    def _lengths(self) -> dict[str, int]:
        """The bytes that were promised, and those of them that came: a script promises twice what it sends."""
        promised = int(dict(self._timeline.headers).get("content-length", "0"))
        return {"expected": promised, "received": promised // 2}

    def _break(self, error: BaseException | None) -> None:
        self._end("cut", error)
        if error is not None:
            raise error

    def _end(self, outcome: Outcome, error: BaseException | None = None) -> None:
        if self._over:
            return
        self._over = True
        if self._timeline.ended is not None:
            self._timeline.ended(Ending(outcome, self._clock.time(), self._frames, error))
