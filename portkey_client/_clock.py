"""Time as a dependency: reading it and waiting, sync and async.

The client never touches `time` directly. It sleeps on the clock that belongs to the request it sent: it puts a
`ClockSlot` into the request's extensions under `CLOCK_EXTENSION`, and whoever answers the request without a network
(a fake gateway) leaves its own clock in that slot. So the choice is made per request, needs no global state, and holds
in worker threads, where a ContextVar set by a test would not be seen. The slot is an object of its own because
transports hand copies of the extensions on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

CLOCK_EXTENSION: Final = "portkey_clock"


class Clock(Protocol):
    """Something that tells the time and can wait. All durations are seconds."""

    def time(self) -> float:
        """Seconds since an arbitrary origin, never going back on one line of execution."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait in the current thread."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Wait in the current task; works under asyncio and trio."""
        ...


class RealClock:
    """The machine's own monotonic clock."""

    def time(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        import anyio  # with httpx anyway, but not needed by a process that only calls synchronously

        await anyio.sleep(seconds)


REAL_CLOCK: Final = RealClock()


@dataclass(slots=True)
class ClockSlot:
    """Where a fake that answers a request leaves the clock it answered on.

    Attributes:
        clock: The clock.
        started: What it showed when the call began.
        until: When what is read next has to be there, on that clock; None where the timeouts alone say.
    """

    clock: Clock = REAL_CLOCK
    started: float = field(default_factory=REAL_CLOCK.time)
    until: float | None = None

    def begin_on(self, clock: Clock, now: float) -> None:
        """The call began now, on this clock."""
        self.clock, self.started, self.until = clock, now, None


def leave_clock(extensions: Mapping[str, Any], clock: Clock, now: float) -> ClockSlot | None:
    """Tell the sender of the request with these extensions on which clock it is answered; None if it does not ask.

    To be called as the request arrives: on a fake's clock that is when the call began. What is returned goes on telling
    how long the sender will wait.
    """
    slot = extensions.get(CLOCK_EXTENSION)
    if not isinstance(slot, ClockSlot):
        return None
    if slot.clock is not clock:
        slot.begin_on(clock, now)
    return slot
