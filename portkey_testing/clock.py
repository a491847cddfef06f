"""Virtual time: waiting costs nothing, and concurrent calls still overlap as they would.

Every line of execution (an asyncio task, a trio task, a thread) has a time of its own, because two calls that wait
two seconds each take two seconds when they run side by side and four when they follow each other:

* a new line starts where its parent stands, the parent's finished children included;
* a line that goes on after its children ended is where the last of them ended;
* among the tasks of one event loop that wait at the same time, the one with the earlier due time goes on first.

The parent is whoever used the clock last in the same context, since a context is what a new task inherits.
"""

from __future__ import annotations

import heapq
import sys
import threading
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    import anyio

_SETTLING_CHECKPOINTS = 2
"""How often the earliest sleeper lets other tasks run first, so that one that is about to wait less can say so."""

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
    """The sleepers of one event loop, the earliest first."""

    __slots__ = ("heap",)

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, anyio.Event]] = []

    def wake_first(self) -> None:
        if self.heap:
            self.heap[0][2].set()


class VirtualClock:
    """A clock that jumps. It implements the client's `Clock` protocol; all durations are seconds."""

    def __init__(self) -> None:
        self._root = _Line(0.0, None)
        self._lines: WeakKeyDictionary[Any, _Line] = WeakKeyDictionary()
        self._queues: WeakKeyDictionary[Any, _Queue] = WeakKeyDictionary()
        self._order = count()
        self._lock = threading.Lock()
        self._furthest = 0.0

    @property
    def now(self) -> float:
        """The furthest any line has come."""
        return self._furthest

    def time(self) -> float:
        """Where the current task or thread stands."""
        return self._line().time

    def sleep(self, seconds: float) -> None:
        line = self._line()
        self._move(line, line.time + max(seconds, 0.0))

    async def asleep(self, seconds: float) -> None:
        from anyio import Event
        from anyio.lowlevel import checkpoint

        line = self._line()
        due = line.time + max(seconds, 0.0)
        # Siblings that start at the same moment must find this line where it stands now.
        await checkpoint()
        if seconds > 0:
            queue = self._queue()
            entry = (due, next(self._order), Event())
            heapq.heappush(queue.heap, entry)
            try:
                settled = 0
                while settled < _SETTLING_CHECKPOINTS:
                    if queue.heap[0] is entry:
                        settled += 1
                        await checkpoint()
                    else:
                        settled = 0
                        queue.wake_first()
                        await entry[2].wait()
            finally:
                queue.heap.remove(entry)
                heapq.heapify(queue.heap)
                queue.wake_first()
        self._move(line, due)

    def _move(self, line: _Line, time: float) -> None:
        with self._lock:
            line.time = max(line.time, time)
            self._furthest = max(self._furthest, line.time)

    def _queue(self) -> _Queue:
        loop = _running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue()
        return queue

    def _line(self) -> _Line:
        """The line of the current task or thread, started if it is new."""
        owner = _current_owner()
        with self._lock:
            line = self._lines.get(owner)
            if line is None:
                parent = self._parent()
                parent.settle()
                line = self._lines[owner] = _Line(parent.time, owner)
                parent.children.append(line)
            else:
                line.settle()
            self._furthest = max(self._furthest, line.time)
        _last_owner.set(ref(owner))
        return line

    def _parent(self) -> _Line:
        last = _last_owner.get()
        owner = None if last is None else last()
        return self._root if owner is None else self._lines.get(owner, self._root)


def _current_owner() -> Any:
    """The asyncio task, trio task or thread that is running."""
    if (asyncio := sys.modules.get("asyncio")) is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            task = None
        if task is not None:
            return task
    if (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_task():
        return trio.lowlevel.current_task()
    return threading.current_thread()


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
