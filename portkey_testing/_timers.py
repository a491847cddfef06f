"""The deadlines of an event loop, asyncio's or trio's, which virtual time has to strike; uvloop's are `_uvloop`."""

from __future__ import annotations

import math
import sys
from typing import Any, Protocol
from weakref import WeakKeyDictionary


class Timers(Protocol):
    """The deadlines of an event loop, and its clock."""

    def next(self) -> float:
        """Seconds until the first deadline; infinite if there is none."""
        ...

    def advance(self, seconds: float) -> None:
        """Set the loop's clock forward."""
        ...


class _AsyncioTimers:
    """Those of asyncio's own loops, whose timers all ask the loop for the time."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._offset = 0.0
        real = loop.time
        loop.time = lambda: real() + self._offset

    def next(self) -> float:
        whens = (handle.when() for handle in self._loop._scheduled if not handle.cancelled())  # noqa: SLF001  # asyncio has no public way to ask for the next timer
        now: float = self._loop.time()
        return min(whens, default=math.inf) - now

    def advance(self, seconds: float) -> None:
        self._offset += seconds


class _TrioTimers:
    """Those of trio, whose clock has an offset, or jumps if it is the one of `trio.testing`."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def next(self) -> float:
        import trio

        return trio.lowlevel.current_statistics().seconds_to_next_deadline

    def advance(self, seconds: float) -> None:
        if hasattr(self._clock, "jump"):
            self._clock.jump(seconds)
        else:
            # trio freezes its clock and lets nobody replace it while it runs.
            object.__setattr__(self._clock, "offset", self._clock.offset + seconds)


class _NoTimers:
    """Of a loop that cannot be asked, and keeps real time."""

    def next(self) -> float:
        return math.inf

    def advance(self, seconds: float) -> None:
        """Nothing runs on it."""


def timers_of(loop: Any) -> Timers:
    """The deadlines of a loop; every clock of a process that is used in it sets the same time forward."""
    timers = _all_timers.get(loop)
    if timers is None:
        timers = _all_timers[loop] = _new_timers(loop)
    return timers


def _new_timers(loop: Any) -> Timers:
    if (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
        return _TrioTimers(clock) if hasattr(clock, "offset") or hasattr(clock, "jump") else _NoTimers()
    if type(loop).__module__ == "uvloop":
        from portkey_testing._uvloop import UvloopTimers

        return UvloopTimers(loop)
    return _AsyncioTimers(loop) if hasattr(loop, "_scheduled") else _NoTimers()


_all_timers: WeakKeyDictionary[Any, Timers] = WeakKeyDictionary()
