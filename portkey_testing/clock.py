"""Virtual time: waiting costs nothing, and concurrent calls still overlap as they would.

Every line of execution (an asyncio task, a trio task, a thread) has a time of its own, because two calls that wait
two seconds each take two seconds when they run side by side and four when they follow each other:

* a new line starts where its parent stands, the parent's finished children included;
* a line that goes on after its children ended is where the last of them ended;
* a new thread starts where whoever started it stands, finished threads beside it not included: waiting costs nothing,
  so the first of two parallel threads is often over before the second one begins;
* among the tasks of one event loop that wait at the same time, the one with the earlier due time goes on first.

The deadlines of an event loop (`asyncio.timeout`, `anyio.move_on_after`, trio's cancel scopes, and any other timer) run
on the same time: while an answer of the fake is waited for, one that is due before it fires, at once. The loop's own
clock is set forward for that. Loops whose timers cannot be found keep their deadlines in real time.

The parent is whoever used the clock last in the same context, since a context is what a new task inherits. A thread
inherits none, unless `asyncio.to_thread` or the like started it; its parent is the main thread then.
"""

from __future__ import annotations

import heapq
import math
import sys
import threading
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from portkey_testing._timers import Timers, timers_of

if TYPE_CHECKING:
    import anyio

_SETTLING_CHECKPOINTS = 2
"""How often the earliest sleeper lets other tasks run first, so that one that is about to wait less can say so."""

_CANCELLING_CHECKPOINTS = 6
"""How often it does after a deadline has fired: a cancellation passes through several tasks before it arrives."""

_MOST_DEADLINES = 1_000
"""How many may fire during a wait without an end: a task that ticks for ever would never let it be called that."""

_last_owner: ContextVar[ref[Any] | None] = ContextVar("portkey_testing_clock_owner", default=None)


class _Line:
    """The time of one task or thread.

    Attributes:
        time: Seconds.
        owner: The task or thread, None once it is gone.
        children: Lines that started from this one and whose end has not been taken over yet.
    """

    __slots__ = ("children", "owner", "time")

    def __init__(self, time: float, owner: object | None) -> None:
        self.time = time
        self.owner = None if owner is None else ref(owner)
        self.children: list[_Line] = []

    def settle(self) -> None:
        """Take over the time of the children that have ended."""
        running: list[_Line] = []
        for child in self.children:
            if child.ended():
                child.settle()
                self.time = max(self.time, child.time)
                running += child.children
            else:
                running.append(child)
        self.children = running

    def ended(self) -> bool:
        owner = None if self.owner is None else self.owner()
        return owner is None or _has_ended(owner)


class _Queue:
    """The sleepers of one event loop, the earliest first, and the time it has come to.

    Attributes:
        now: Seconds on this clock.
        timers: The loop's own deadlines.
    """

    __slots__ = ("heap", "now", "timers")

    def __init__(self, now: float, timers: Timers) -> None:
        self.heap: list[tuple[float, int, anyio.Event]] = []
        self.now = now
        self.timers = timers

    def wake_first(self) -> None:
        if self.heap:
            self.heap[0][2].set()

    def advance_to(self, time: float) -> None:
        if time > self.now:
            self.timers.advance(time - self.now)
            self.now = time

    def next_deadline(self, due: float) -> float | None:
        """When the first deadline of the loop strikes, if that is before `due`."""
        left = self.timers.next()
        struck = self.now + max(left, 0.0)
        return struck if left < math.inf and struck < due else None


class VirtualClock:
    """A clock that jumps. It implements the client's `Clock` protocol; all durations are seconds."""

    def __init__(self) -> None:
        self._root = _Line(0.0, None)
        self._lines: WeakKeyDictionary[Any, _Line] = WeakKeyDictionary()
        self._queues: WeakKeyDictionary[Any, _Queue] = WeakKeyDictionary()
        self._order = count()
        self._lock = threading.Lock()
        self._furthest = 0.0
        self._latest = self._root

    @property
    def now(self) -> float:
        """The furthest any line has come."""
        return self._furthest

    def time(self) -> float:
        """Where the current task or thread stands."""
        return self._line().time

    def sleep(self, seconds: float) -> None:
        """Wait; an infinite wait is over at once, since nothing could end it."""
        line = self._line()
        if seconds < math.inf:
            self._move(line, line.time + max(seconds, 0.0))

    async def asleep(self, seconds: float) -> None:
        """Wait; an infinite wait is over when no deadline of the loop is left that could end it."""
        from anyio.lowlevel import checkpoint

        line = self._line()
        due = line.time + max(seconds, 0.0)
        # Siblings that start at the same moment must find this line where it stands now.
        await checkpoint()
        if seconds > 0:
            queue = self._queue(line.time)
            queue.advance_to(line.time)
            try:
                await self._turn(queue, due)
            except BaseException:  # cancelled, by a deadline or otherwise: this line has come as far as its loop
                self._move(line, min(queue.now, due))
                raise
        if due < math.inf:
            self._move(line, due)

    async def _turn(self, queue: _Queue, due: float) -> None:
        """Wait until nothing in this loop comes before `due`."""
        from anyio import Event
        from anyio.lowlevel import checkpoint

        entry = (due, next(self._order), Event())
        heapq.heappush(queue.heap, entry)
        try:
            settling = _SETTLING_CHECKPOINTS
            fired = 0
            while True:
                if queue.heap[0] is not entry:
                    queue.wake_first()
                    await entry[2].wait()
                    settling = _SETTLING_CHECKPOINTS
                elif settling:
                    settling -= 1
                    await checkpoint()
                elif (due < math.inf or fired < _MOST_DEADLINES) and (deadline := queue.next_deadline(due)) is not None:
                    queue.advance_to(deadline)
                    settling = _CANCELLING_CHECKPOINTS
                    fired += 1
                else:
                    if due < math.inf:
                        queue.advance_to(due)
                    return
        finally:
            queue.heap.remove(entry)
            heapq.heapify(queue.heap)
            queue.wake_first()

    def _move(self, line: _Line, time: float) -> None:
        with self._lock:
            line.time = max(line.time, time)
            self._furthest = max(self._furthest, line.time)

    def _queue(self, now: float) -> _Queue:
        loop = _running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue(now, timers_of(loop))
        return queue

    def _line(self) -> _Line:
        """The line of the current task or thread, started if it is new."""
        owner = _current_owner()
        line = self._latest
        # Mostly the same line asks again, and there is nothing to take over.
        if line.children or line.owner is None or line.owner() is not owner:
            line = self._settled(owner)
        if _last_owner.get() is not line.owner:
            _last_owner.set(line.owner)
        return line

    def _settled(self, owner: Any) -> _Line:
        """The line of `owner` with the time of its children that have ended, started if it is new."""
        with self._lock:
            line = self._lines.get(owner)
            if line is None:
                parent = self._parent(owner)
                if not _is_side_thread(owner):
                    parent.settle()
                line = self._lines[owner] = _Line(parent.time, owner)
                parent.children.append(line)
            else:
                line.settle()
            self._furthest = max(self._furthest, line.time)
            self._latest = line
        return line

    def _parent(self, owner: object) -> _Line:
        last = _last_owner.get()
        before = None if last is None else last()
        if before is None and _is_side_thread(owner):
            before = threading.main_thread()
        return self._root if before is None else self._lines.get(before, self._root)


def _current_owner() -> Any:
    """The asyncio task, trio task or thread that is running."""
    asyncio = sys.modules.get("asyncio")
    # Of all ways to ask whether a loop runs in this thread, the one that raises nothing: it is asked all the time.
    if asyncio is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001  # asyncio exports it
        task = asyncio.current_task()
        if task is not None:
            return task
    if (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_task():
        return trio.lowlevel.current_task()
    return threading.current_thread()


def _is_side_thread(owner: object) -> bool:
    return isinstance(owner, threading.Thread) and owner is not threading.main_thread()


def _running_loop() -> Any:
    """Something that stands for the event loop that is running."""
    if (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_root_task()
    return sys.modules["asyncio"].get_running_loop()


def _has_ended(owner: Any) -> bool:
    if isinstance(owner, threading.Thread):
        return not owner.is_alive()
    if (asyncio := sys.modules.get("asyncio")) is not None and isinstance(owner, asyncio.Task):
        return bool(owner.done())
    return owner.coro.cr_frame is None  # a trio task
